# A server of one index, without torch; docs/deploy.md says how to build and start it.
FROM python:3.12-slim

# The wheel of vdistill-core that `make wheel`, or `python -m build --wheel`, has made here.
COPY dist/ /wheels/
RUN pip install --no-cache-dir --no-compile --find-links /wheels 'vdistill-core[mcp,serve]'

# Nobody: no home, no shell, and nothing that it could write to. Thumbnails are kept where /tmp is mounted.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin vdistill
USER 10001
ENV PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp VDISTILL_TOKEN_ENV=VDISTILL_TOKEN VDISTILL_HOST=0.0.0.0
WORKDIR /srv
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["vdistill", "serve"]
CMD ["/srv/shop.vdx"]
