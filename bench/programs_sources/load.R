set.seed(1)
add <- function(t, k) if (is.null(t)) list(k = k) else if (k < t$k) { t$l <- add(t$l, k); t } else { t$r <- add(t$r, k); t }
for (round in 1:10) {
  t <- NULL
  for (k in runif(6000)) t <- add(t, k)
  x <- rnorm(200000); g <- sample(1:50, 200000, TRUE)
  print(summary(lm(x ~ g))$sigma)
  print(head(sort(tapply(x, g, median))))
  print(length(unique(gsub("[0-4]+", "-", sprintf("%.6f", x[1:60000])))))
}
