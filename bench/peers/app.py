"""The three routes on FastAPI and psutil, as the reference has them: figures are read for each request."""

import os
import platform
import time
from datetime import datetime, timedelta

import psutil
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

app = FastAPI()
bearer = HTTPBearer(auto_error=False)
process = psutil.Process()
keys = os.environ["API_KEY"].split(",")


def authenticate(credentials: HTTPAuthorizationCredentials = Depends(bearer)) -> None:
    if credentials is None:
        raise HTTPException(status_code=401, detail="Not authenticated")
    if credentials.credentials not in keys:
        raise HTTPException(status_code=401, detail="Unauthorized")


def size(value: float) -> str:
    for unit in ("Bytes", "KB", "MB", "GB"):
        if value < 1024:
            return f"{value:.2f} {unit}"
        value /= 1024
    return f"{value:.2f} TB"


@app.get("/")
async def greeting():
    return {"message": "Konnichiwa"}


@app.get("/health")
async def health(response: Response):
    response.headers["Cache-Control"] = "no-store"
    return "ok"


@app.get("/inspect", dependencies=[Depends(authenticate)])
async def inspect(response: Response):
    response.headers["Cache-Control"] = "no-store"
    memory = psutil.virtual_memory()
    usage = process.memory_info()
    return {
        "now": datetime.now().isoformat(),
        "system": {
            "platform": platform.system(),
            "release": platform.release(),
            "arch": platform.machine(),
            "uptime": str(timedelta(seconds=time.time() - psutil.boot_time())),
            "hostname": platform.node(),
            "cpu_used_percent": round(psutil.cpu_percent()),
            "memory_used_percent": round(memory.percent),
        },
        "memory": {"total": size(memory.total), "free": size(memory.available)},
        "process": {
            "pid": process.pid,
            "uptime": str(timedelta(seconds=time.time() - process.create_time())),
            "memoryUsage": {
                "rss": size(usage.rss),
                "vms": size(usage.vms),
                "percent": f"{process.memory_percent():.2f}%",
            },
        },
    }
