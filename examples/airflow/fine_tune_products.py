"""A DAG that fine-tunes a model every night, and rolls the version out if the gate lets it pass.

The workers need `bluetune` without an extra, and a kubeconfig or a service account that may create FineTuningTasks.
"""

from datetime import datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

HOURS = 6


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False)
def fine_tune_products():
    @task(retries=2, retry_delay=timedelta(minutes=5), execution_timeout=timedelta(hours=HOURS + 1))
    def fine_tune(run_id=None):
        from bluetune import Client, TaskFailed

        client = Client(namespace="search")
        # a retry of this run has the same key, so that nothing is trained twice
        submitted = client.submit("products", deploy=True, key=run_id)
        try:
            ended = client.wait(submitted.name, timeout=HOURS * 3600)
        except TaskFailed as error:
            raise AirflowFailException(str(error)) from error  # the same data would fail again
        return ended.version

    fine_tune()


fine_tune_products()
