"""Everything that refine.bio's Python client can ask, against a server; run by its interpreter.

Told by REFINEBIO_BASE_URL where the server is, and by its argument where to write. Prints one
line of JSON with what it found; while a dataset is made, it waits for lines on its input.
"""

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

warnings.simplefilter("ignore")
import pyrefinebio  # noqa: E402

folder = Path(sys.argv[1])
found = {}

experiments = pyrefinebio.Experiment.search(search="LAB-A")
found["searched"] = [each.accession_code for each in experiments]
every = pyrefinebio.Experiment.search(num_downloadable_samples__gt=0, limit=1)
found["pages"] = sorted(every[number].accession_code for number in range(len(every)))
filtered = pyrefinebio.Experiment.search(
    technology=["rna-seq", "microarray"], organism="HOMO_SAPIENS", has_publication=False
)
found["filtered"] = len(filtered)
experiment = pyrefinebio.Experiment.get("LAB-B")
found["samples"] = {each.accession_code: each.is_processed for each in experiment.samples}
str(experiment)

samples = pyrefinebio.Sample.search(experiment_accession_code="LAB-A", is_processed=True)
found["of_experiment"] = [samples[number].accession_code for number in range(len(samples))]
sample = pyrefinebio.Sample.get("r1")
result = {each.processor.name: each for each in sample.results}
found["processors_of_sample"] = sorted(result)
found["index_of_sample"] = result["Salmon Quant"].organism_index.organism_name
found["experiments_of_sample"] = [
    sample.experiments[number].accession_code for number in range(len(sample.experiments))
]
found["original_file"] = pyrefinebio.OriginalFile.get(sample.original_files[0].id).filename
found["computed_files"] = sorted(
    pyrefinebio.ComputedFile.get(each.id).filename for each in sample.computed_files
)
whole = pyrefinebio.ComputationalResult.get(sample.results[0].id)
found["result_files"] = len(whole.files)

found["organisms"] = [each.name for each in pyrefinebio.Organism.search().pages[0]]
found["organism"] = pyrefinebio.Organism.get("HOMO_SAPIENS").has_compendia
found["platforms"] = [each.platform_accession_code for each in pyrefinebio.Platform.search()]
found["institutions"] = len(pyrefinebio.Institution.search())
processors = pyrefinebio.Processor.search()
found["processor"] = pyrefinebio.Processor.get(processors[0].id).name == processors[0].name
found["targets"] = [each.name for each in pyrefinebio.QNTarget.search()]
target = pyrefinebio.QNTarget.get("homo sapiens")
found["target"] = [target.is_qn_target, target.s3_url]
indices = pyrefinebio.TranscriptomeIndex.search(organism__name="homo_sapiens", length="Short")
index = pyrefinebio.TranscriptomeIndex.get(indices[0].id)
found["index"] = [len(indices), index.index_type, index.download_url]
found["original_files"] = len(pyrefinebio.OriginalFile.search(samples="a1"))
found["targets_among_files"] = len(pyrefinebio.ComputedFile.search(is_qn_target=True))
found["results"] = len(pyrefinebio.ComputationalResult.search(processor__id=processors[0].id))

jobs = pyrefinebio.ProcessorJob.search(sample_accession_code="a1")
found["jobs"] = [len(jobs), jobs[0].pipeline_applied, jobs[0].success]
found["job"] = pyrefinebio.ProcessorJob.get(jobs[0].id).batch_job_id == jobs[0].batch_job_id
downloader = pyrefinebio.DownloaderJob.search()
found["downloader"] = pyrefinebio.DownloaderJob.get(downloader[0].id).id == downloader[0].id
found["survey"] = len(pyrefinebio.SurveyJob.search(success=True))

errors = {}
for name, ask in {
    "filter": lambda: pyrefinebio.Sample.search(nonsense=1),
    "type": lambda: pyrefinebio.Sample.search(age="old"),
    "missing": lambda: pyrefinebio.Sample.get("nobody"),
    "target": lambda: pyrefinebio.QNTarget.get("MUS_MUSCULUS"),
    "data": lambda: pyrefinebio.Dataset(data={"LAB-A": ["nobody"]}).save(),
    "start": lambda: pyrefinebio.Dataset(data={"LAB-A": ["ALL"]}, email_address="a@b.c").process(),
}.items():
    try:
        ask()
    except Exception as error:  # noqa: BLE001  # its name is what is wanted
        errors[name] = type(error).__name__
found["errors"] = errors

compendia = pyrefinebio.Compendium.search(primary_organism__name="HOMO_SAPIENS")
found["versions"] = [compendia[number].compendium_version for number in range(len(compendia))]
pyrefinebio.create_token(agree_to_terms=True, save_token=False)
compendium = pyrefinebio.download_compendium(str(folder / "compendium.zip"), "HOMO_SAPIENS")
found["compendium"] = compendium.compendium_version

first = pyrefinebio.Dataset(data={"LAB-A": ["a1", "a2"]}).save()
first.add_samples("LAB-B")
first = first.save()
found["saved"] = pyrefinebio.Dataset.get(first.id).data
pyrefinebio.high_level_functions.time = SimpleNamespace(sleep=lambda _: input())  # till told
made = pyrefinebio.download_dataset(
    str(folder / "dataset.zip"),
    "somebody@example.org",
    dataset_dict={"LAB-A": ["ALL"], "LAB-B": ["b1", "b2"]},
    aggregation="SPECIES",
    transformation="STANDARD",
)
found["dataset"] = [made.is_processed, made.data]
second = pyrefinebio.download_dataset(
    str(folder / "second.zip"),
    "somebody@example.org",
    experiments=["LAB-R"],
    skip_quantile_normalization=True,
)
found["second"] = second.data
sys.stdout.write(json.dumps(found) + "\n")
