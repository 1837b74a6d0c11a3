# One image for migrate, api, worker and relay: `docker build -t countersign .`
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir uv
COPY requirements/run.txt requirements/run.txt
RUN .venv/bin/uv pip sync --python .venv/bin/python --no-cache --require-hashes requirements/run.txt
COPY pyproject.toml README.md settings.py slack_client.py telemetry.py temporal_client.py temporal_codec.py temporal_traces.py ./
COPY recipes recipes
COPY contract contract
COPY storage storage
COPY activities activities
COPY worker worker
COPY relay relay
COPY api api
COPY cli cli
COPY client client
COPY workflows_yaml workflows_yaml
RUN .venv/bin/uv pip install --python .venv/bin/python --no-cache --no-deps --no-build-isolation \
    --config-setting editable_mode=compat --editable . \
    && .venv/bin/python -m compileall -q .

FROM python:3.11-slim
# git carries checkpoints to a witness that is a repository (git+file).
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN useradd --system --no-create-home --uid 10001 countersign \
    && install --directory --owner countersign --mode 700 /sealing /witness /audit /regions \
    && install --directory --owner countersign /keys
WORKDIR /app
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 COUNTERSIGN_ENVIRONMENT=production
USER countersign
ENTRYPOINT ["countersign"]
CMD ["--help"]
