# One image for every part: the API by default, the worker by `python -m worker`.
# Any user id may run it, its root file system may be read-only, and there is nothing of a build in it.
FROM python:3.11-slim-bookworm AS build
# What installs stays here: the environment that is run has no pip and no setuptools in it.
RUN python -m venv --without-pip /opt/venv && python -m venv /opt/tools
WORKDIR /build
COPY requirements.txt requirements-build.txt ./
RUN /opt/tools/bin/pip --python /opt/venv install --no-cache-dir --no-deps --require-hashes -r requirements.txt
RUN /opt/tools/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY v1 v1
COPY worker worker
# The wheel is named folder by folder: packed whole, the link `latest` would become a second package.
RUN /opt/tools/bin/python -m hatchling build -t wheel && \
    /opt/tools/bin/pip --python /opt/venv install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="data-tracker" \
      org.opencontainers.image.description="Samples crypto markets every minute, keeps the last day, ranks what moves." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/venv /opt/venv
# Nor does what comes with the base image's own Python.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip setuptools wheel
# Whatever the user id, the group is 0, which may write here.
RUN mkdir /data && chgrp 0 /data && chmod 2770 /data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRACKER_DATA_DIR=/data \
    TRACKER_LOG_FORMAT=json
WORKDIR /data
USER 10001:0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as web; scheme = 'https' if os.environ.get('TRACKER_TLS_CERT') else 'http'; web.urlopen(scheme + '://127.0.0.1:' + os.environ.get('TRACKER_BIND', ':8000').rpartition(':')[2] + '/health/live', timeout=4, context=ssl._create_unverified_context())"]
CMD ["python", "-m", "v1"]
