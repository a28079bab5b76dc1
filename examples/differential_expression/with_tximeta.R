# Differential expression from Salmon's own folders: tximeta, then DESeq2.
#
#   Rscript with_tximeta.R SALMON SAMPLES REFERENCE INDEX FASTA GTF OUTPUT
#
# SALMON     folder of Salmon's folders, as `refinebio quantify` keeps them (OUT/salmon), or as they
#            lie in REFINEBIO_HOME/processed/quant/<EXPERIMENT>
# SAMPLES    table with columns `sample` and `condition`, which has two values
# REFERENCE  the value of `condition` to compare with
# INDEX      the index they were made with (salmon_index_long, or _short) in
#            REFINEBIO_HOME/reference/<ORGANISM>/<RELEASE>
# FASTA GTF  what it was made from
# OUTPUT     TSV to write
#
# tximeta reads the digest of the index in each folder, and finds by it which transcripts these
# are. Ours is told to it as a linked transcriptome; nothing is fetched.
suppressPackageStartupMessages({
  library(tximeta)
  library(DESeq2)
})

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) != 7) stop("with_tximeta.R SALMON SAMPLES REFERENCE INDEX FASTA GTF OUTPUT")
names(arguments) <- c("salmon", "samples", "reference", "index", "fasta", "gtf", "output")

setTximetaBFC(tempfile("tximeta"), quiet = TRUE)
makeLinkedTxome(indexDir = arguments[["index"]], source = "refinebio", organism = "unknown",
  release = "1", genome = "unknown", fasta = arguments[["fasta"]], gtf = arguments[["gtf"]],
  write = FALSE)

samples <- read.delim(arguments[["samples"]], colClasses = "character", quote = "")
coldata <- data.frame(names = samples$sample,
  files = file.path(arguments[["salmon"]], samples$sample, "quant.sf"),
  condition = relevel(factor(samples$condition), arguments[["reference"]]))
transcripts <- tximeta(coldata[file.exists(coldata$files), ], skipSeqinfo = TRUE, useHub = FALSE,
  dropInfReps = TRUE)
genes <- summarizeToGene(transcripts)

found <- results(DESeq(DESeqDataSet(genes, ~condition), quiet = TRUE))
table <- data.frame(gene = rownames(found), log2FoldChange = found$log2FoldChange,
  pvalue = found$pvalue, padj = found$padj)
table <- table[order(table$pvalue), ]
write.table(table, arguments[["output"]], sep = "\t", quote = FALSE, row.names = FALSE)
cat(sprintf("%d of %d genes differ (padj < 0.05)\n", sum(table$padj < 0.05, na.rm = TRUE),
  nrow(table)))
