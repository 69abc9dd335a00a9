"""What stderr shows of an error; light, for every command imports it."""

from diascope.errors import PipelineError


def error_text(error: PipelineError) -> str:
    """Say what is wrong and what to do."""
    return f"error: {error.message}" + (f"\n  try: {error.hint}" if error.hint else "")
