"""One exception tree; each error says what is wrong and what helps."""


class VdistillError(Exception):
    """Something the user can act on: printed as `error: message` and `hint: hint`, exit code 1."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ImageError(VdistillError):
    """An image that cannot be read. `message` is the reason alone, without the path."""


class TeacherError(VdistillError):
    """A teacher that cannot go on at all (wrong key, unknown model): stops the run."""


class GateError(VdistillError):
    """A gate of `bench` that was not met, or a student too poor to be published: exit code 3."""


def first_line(error: BaseException) -> str:
    """The first line of what a foreign error says, else the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
