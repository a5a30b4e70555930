"""What the service is measured beside: the server alone, and a model behind FastAPI.

python -m benchmarks.online_peers ceiling PORT
uvicorn benchmarks.online_peers:fastapi --factory
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from headrace.adapters.granian_server import Address, serve
from headrace.runtime.http.one_core import keep_together, patient

_ANSWER = b'{"decision_id":"benchmark/0/123456","outcome":"approve","score":0.0123}' + b" " * 300
_JSON = [("content-type", "application/json")]
_FEATURES = 20


class Ceiling:
    """Takes a body and answers without looking at it."""

    async def __rsgi__(self, _scope: Any, exchange: Any) -> None:
        """Answer one request."""
        await exchange()
        exchange.response_bytes(200, _JSON, _ANSWER)


def fastapi() -> Any:
    """An application as many have it: features that lie ready, XGBoost row by row."""
    import xgboost as xgb  # noqa: PLC0415 - for this peer alone
    from fastapi import FastAPI, Request  # noqa: PLC0415 - for this peer alone

    booster = xgb.Booster(model_file=os.environ["HEADRACE_BENCHMARK_MODEL"])
    booster.set_param({"nthread": 1})
    row = np.ones((1, _FEATURES), dtype=np.float32)
    app = FastAPI()

    async def decide(request: Request) -> dict[str, Any]:
        event = await request.json()
        row[0, 0] = event["amount"] if isinstance(event["amount"], int | float) else 0.0
        score = float(booster.inplace_predict(row)[0])
        return {"decision_id": event["payment_id"], "score": score, "outcome": "approve"}

    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    decide.__annotations__["request"] = Request
    app.post("/decide")(decide)
    app.get("/readyz")(ready)
    return app


if __name__ == "__main__":
    patient()
    serve(Ceiling(), Address(port=int(sys.argv[2])), lambda: None, keep_together)
