# The app with TensorFlow on the CPU: a Docker Space, or one's own server (compose.yaml, also for a GPU).
# Everything that is written goes below /cache: the rest may be read-only.
FROM python:3.11.14-slim-bookworm

# An init: a trainer outlives the page that began it, and somebody has to reap it.
# Debian keeps one version of a package at a time, so none can be named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

# A Space runs its container as this user.
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /cache/home segmodels \
    && install --directory --owner=1000 --group=1000 /cache /cache/home /cache/tmp

WORKDIR /app

ARG REQUIREMENTS=requirements.txt
COPY constraints.txt requirements*.txt ./
RUN pip install --no-cache-dir --requirement ${REQUIREMENTS}

COPY app.py ./
COPY .streamlit .streamlit
COPY pages pages
COPY segmodels segmodels
COPY ui ui
COPY checkpoints checkpoints
RUN python -m compileall -q app.py segmodels ui

ENV HOME=/cache/home \
    TMPDIR=/cache/tmp \
    XDG_CACHE_HOME=/cache/xdg \
    SEGMODELS_HOME=/cache/segmodels \
    HF_HOME=/cache/huggingface \
    KERAS_HOME=/cache/keras \
    MPLCONFIGDIR=/cache/matplotlib \
    TFDS_DATA_DIR=/cache/tensorflow_datasets \
    KAGGLEHUB_CACHE=/cache/kagglehub \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STREAMLIT_SERVER_HEADLESS=true

USER 1000:1000
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "segmodels.serve", "--address", "0.0.0.0", "--port", "8501"]
