# What runs is one virtual environment on a slim Python: no compiler, no pip, nothing from outside the hash-checked locks.

FROM python:3.13-slim-trixie AS build
WORKDIR /src
# pip lives beside the environment that it fills, not in it.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/forwarder
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/forwarder/bin/python install --require-hashes --only-binary :all: --no-compile \
    -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY forwarder forwarder
# Bytecode is checked by hash, not by time: the layers of two builds are alike, and nothing is ever compiled at run time.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/build/bin/pip --python /opt/forwarder/bin/python install --no-deps --no-index --no-compile dist/*.whl \
 && /opt/forwarder/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/forwarder/lib

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="persona-siem-forwarder" \
      org.opencontainers.image.description="Forwards Persona's User Audit Logs to Kafka, syslog and Splunk without losing an event." \
      org.opencontainers.image.licenses="Apache-2.0"
# The base brings pip for those who build on it; here nobody does.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.13/site-packages/pip* /usr/local/lib/python3.13/ensurepip \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/forwarder
COPY --from=build /opt/forwarder /opt/forwarder
ENV PATH=/opt/forwarder/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FORWARDER_STATE_PATH=/var/lib/forwarder/forwarder.db \
    FORWARDER_HTTP_HOST=0.0.0.0
WORKDIR /var/lib/forwarder
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["forwarder"]
CMD ["run"]
