# Differential expression from exported quant.sf files: tximport, then DESeq2 and edgeR.
#
#   Rscript with_tximport.R QUANT TRANSCRIPTS SAMPLES REFERENCE OUTPUT
#
# QUANT        zip of `refinebio dataset create --quant-sf-only` or of an RNA-seq compendium (or the
#              folder of it), or a folder of Salmon's folders: every <SAMPLE>_quant.sf and
#              <SAMPLE>/quant.sf in it is found
# TRANSCRIPTS  table whose columns `transcript` and `gene` are tximport's tx2gene
# SAMPLES      table with columns `sample` and `condition`, which has two values
# REFERENCE    the value of `condition` to compare with
# OUTPUT       folder for deseq2.tsv and edger.tsv
#
# The effective lengths go in as offsets: counts stay counts, and a gene that only uses a longer
# transcript does not differ.
suppressPackageStartupMessages({
  library(tximport)
  library(DESeq2)
  library(edgeR)
})

read_table <- function(path) {
  read.delim(path, colClasses = "character", quote = "", comment.char = "", check.names = FALSE)
}

quant_files <- function(place) {
  if (!dir.exists(place)) {
    folder <- tempfile("quant")
    unzip(place, exdir = folder)
    place <- folder
  }
  files <- list.files(place, "(^|_)quant\\.sf(\\.gz)?$", recursive = TRUE, full.names = TRUE)
  alone <- startsWith(basename(files), "quant.sf")
  stem <- sub("_quant\\.sf(\\.gz)?$", "", basename(files))
  names(files) <- ifelse(alone, basename(dirname(files)), stem)
  if (length(files) == 0) stop("There is no quant.sf in ", place)
  files
}

write_results <- function(table, path) {
  table <- table[order(table$pvalue), ]
  write.table(table, path, sep = "\t", quote = FALSE, row.names = FALSE)
  cat(sprintf("%s: %d of %d genes differ (padj < 0.05)\n", basename(path),
    sum(table$padj < 0.05, na.rm = TRUE), nrow(table)))
}

by_deseq2 <- function(genes, samples) {
  dataset <- DESeqDataSetFromTximport(genes, samples, ~condition)
  found <- results(DESeq(dataset, quiet = TRUE))
  data.frame(gene = rownames(found), log2FoldChange = found$log2FoldChange,
    pvalue = found$pvalue, padj = found$padj)
}

by_edger <- function(genes, samples) {
  # Lengths relative to the gene's mean one; library sizes are those of counts freed from them.
  relative <- genes$length / exp(rowMeans(log(genes$length)))
  freed <- genes$counts / relative
  libraries <- colSums(freed) * calcNormFactors(freed)
  data <- scaleOffset(DGEList(genes$counts), log(sweep(relative, 2, libraries, "*")))
  design <- model.matrix(~condition, samples)
  data <- data[filterByExpr(data, design), ]
  fit <- glmQLFit(estimateDisp(data, design), design)
  found <- glmQLFTest(fit, coef = 2)$table
  data.frame(gene = rownames(found), log2FoldChange = found$logFC,
    pvalue = found$PValue, padj = p.adjust(found$PValue, "BH"))
}

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) != 5) stop("with_tximport.R QUANT TRANSCRIPTS SAMPLES REFERENCE OUTPUT")
files <- quant_files(arguments[1])
tx2gene <- read_table(arguments[2])[, c("transcript", "gene")]
samples <- read_table(arguments[3])[, c("sample", "condition")]
samples <- samples[samples$sample %in% names(files), ]
files <- files[names(files) %in% samples$sample]
if (anyDuplicated(names(files))) stop("A sample has two quant.sf, of two experiments")
samples$condition <- relevel(factor(samples$condition), arguments[4])

genes <- tximport(files[samples$sample], type = "salmon", tx2gene = tx2gene, dropInfReps = TRUE,
  importer = function(path) read.delim(path, quote = "", comment.char = ""))
dir.create(arguments[5], showWarnings = FALSE, recursive = TRUE)
write_results(by_deseq2(genes, samples), file.path(arguments[5], "deseq2.tsv"))
write_results(by_edger(genes, samples), file.path(arguments[5], "edger.tsv"))
