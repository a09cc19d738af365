"""The child."""


def send_message(text: str) -> None:
    raise NotImplementedError
