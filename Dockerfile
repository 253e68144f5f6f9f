# syntax=docker/dockerfile:1
FROM python:3.13-slim-trixie AS build
# Optional parts of the package, e.g. "es8" for servers of version 8, or "sample".
ARG EXTRAS=""
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY unomi_scheduler unomi_scheduler
COPY rest rest
COPY shell shell
RUN python -m venv /opt/unomi \
    && /opt/unomi/bin/pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="unomi-scheduler" \
      org.opencontainers.image.description="A cluster-aware task scheduler for Python, coordinated by nothing but Elasticsearch" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin unomi \
    && install -d -o unomi -g unomi -m 0700 /state /app
COPY --from=build /opt/unomi /opt/unomi
COPY --chmod=0555 deploy/docker/healthcheck.py /usr/local/bin/unomi-health
# The port of `node` is fixed here, so that the health check and probes find it; it listens on loopback alone.
ENV PATH=/opt/unomi/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    UNOMI_SCHEDULER_ADMIN_PORT=8182 \
    UNOMI_SCHEDULER_STATE_DIR=/state \
    UNOMI_SCHEDULER_LOG_FORMAT=json
WORKDIR /app
USER 10001:10001
VOLUME ["/state"]
EXPOSE 8181
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["unomi-health", "/livez"]
ENTRYPOINT ["unomi-scheduler"]
CMD ["--help"]
