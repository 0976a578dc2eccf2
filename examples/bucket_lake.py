"""A lake in an object store: run it on your bucket, or without one on a local S3 server (moto).

    python examples/bucket_lake.py s3://my-bucket/lake

The keys come from the environment (AWS_ACCESS_KEY_ID, …), the credentials file or the machine's
role.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from article_flows import PipelineSettings, article_pipeline, current_table


@contextmanager
def local_s3() -> Iterator[str]:
    """Run moto's S3 server, and yield the URI of a lake in it."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    boto3.client("s3").create_bucket(Bucket="articles")
    try:
        yield f"s3://articles/lake?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.stop()


def enrich(lake: str) -> None:
    """Enrich ten articles, and read the table from the bucket."""
    settings = PipelineSettings(lake=lake, recipe="digest", base_url="mock", limit=10)
    report = article_pipeline(settings)
    print(report.summarize.line())
    print(current_table(lake, "digest"))


def main() -> None:
    """Use the lake given as an argument, else a local S3 server."""
    if len(sys.argv) > 1:
        enrich(sys.argv[1])
        return
    with local_s3() as lake:
        enrich(lake)


if __name__ == "__main__":
    main()
