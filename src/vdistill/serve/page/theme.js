// Light or dark, before anything is painted: the system's, or what was chosen here.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  const chosen = () => {
    try {
      return localStorage.getItem("vdistill.theme");
    } catch {
      return null; // storage is turned off
    }
  };

  const choose = (theme) => {
    const system = dark.matches ? "dark" : "light";
    try {
      if (theme === system) localStorage.removeItem("vdistill.theme");
      else localStorage.setItem("vdistill.theme", theme);
    } catch {
      // then it lasts as long as the page
    }
    show(theme);
  };

  const show = (theme) => {
    root.dataset.theme = theme;
    document.getElementById("theme")?.setAttribute("aria-pressed", String(theme === "dark"));
  };

  const showOwn = () => show(chosen() ?? (dark.matches ? "dark" : "light"));
  showOwn();
  dark.addEventListener("change", showOwn);
  addEventListener("DOMContentLoaded", () => {
    showOwn();
    document.getElementById("theme").addEventListener("click", () => {
      choose(root.dataset.theme === "dark" ? "light" : "dark");
    });
  });
})();
