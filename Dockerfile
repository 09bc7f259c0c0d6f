# syntax=docker/dockerfile:1
# Two stages: the first builds an environment from the hashed lock, the second holds only what runs.
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/gateway
COPY requirements.lock ./
RUN /opt/gateway/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY mappings mappings
COPY fixtures fixtures
RUN /opt/gateway/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
RUN groupadd --gid 10001 gateway && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data gateway \
 && mkdir -p /data /project/mappings && chown -R gateway:gateway /data
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_DATA=/data GATEWAY_MAPPINGS=/project/mappings GATEWAY_LOG_FORM=json GATEWAY_ADMIN_HOST=0.0.0.0
WORKDIR /project
USER 10001:10001
VOLUME ["/data"]
# 8080 takes events; 8081 is the operators' port: publish it only where operators are.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=15s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=2); u.urlopen('http://127.0.0.1:8081/readyz', timeout=2)"]
# Run with a read-only root file system: only /data and /tmp are written.
ENTRYPOINT ["gateway"]
CMD ["serve"]
