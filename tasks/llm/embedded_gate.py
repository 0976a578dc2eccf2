"""Which calls the embedded endpoint turns away before it does any work for them."""

from tasks.llm import embedded_faults as errors
from tasks.llm.embedded_protocol import ApiError, ChatRequest
from tasks.llm.embedded_quota import Quota
from tasks.llm.faults import Decision, Faults


class Gate:
    """Turns calls away for want of money or quota, or because their prompt is too long."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._quota = Quota(faults.rpm, faults.tpm, burst=faults.burst)
        self._limited = bool(faults.rpm or faults.tpm)

    def admit(self, chat: ChatRequest, decision: Decision, active: int, answers: int) -> None:
        """Let a call in, or raise the ApiError that it gets; its `fault` says which limit struck.

        Args:
            chat: the request.
            decision: what was drawn for the call.
            active: calls in hand, this one included.
            answers: answers given so far.
        """
        faults = self._faults
        if faults.quota_after is not None and answers >= faults.quota_after:
            raise _by("quota_after", errors.insufficient_quota())
        if decision.fault == "insufficient_quota":
            raise _by("insufficient_quota", errors.insufficient_quota())
        if decision.fault == "http_429":
            message = "Rate limit reached for requests."
            raise _by("http_429", errors.rate_limited(faults.retry_after, message))
        if faults.max_concurrent is not None and active > faults.max_concurrent:
            message = f"Too many requests at once: Limit {faults.max_concurrent}."
            raise _by("max_concurrent", errors.rate_limited(faults.retry_after, message))
        if faults.too_long is not None and chat.prompt_tokens > faults.too_long:
            raise _by("too_long", errors.too_long(faults.too_long, chat.prompt_tokens))
        if self._limited:
            self._quota.admit(chat.prompt_tokens + (chat.max_tokens or 0))

    def headers(self) -> dict[str, str]:
        """Report the quotas that are set, as every answer does."""
        return self._quota.headers() if self._limited else {}


def _by(fault: str, error: ApiError) -> ApiError:
    error.fault = fault
    return error
