# Measures of a fixed risk score on censored outcomes, by riskRegression::Score and survival::survfit, as JSON.
#   Rscript survival_measures.R FOLDER NAME=HORIZON=THRESHOLD ...
# reads FOLDER/NAME.csv (time, event, risk) or, where it does not exist, writes it from R's own data sets:
# rotterdam and mgus2 (survival), colrec (relsurv), synthetic (made here, seed 1).
suppressMessages({library(survival); library(riskRegression); library(prodlim); library(splines); library(jsonlite)})
RNGkind("Mersenne-Twister", "Inversion", "Rejection")

own <- list(
  rotterdam = function() with(rotterdam, data.frame(time = pmin(rtime, dtime),
    event = ifelse(recur == 1 | death == 1, 1, 0),
    risk = plogis(-1.5 + .12 * pmin(nodes, 15) + .4 * (grade == 3) - .0008 * pmin(pgr, 1000)))),
  mgus2 = function() with(subset(mgus2, !is.na(mspike)), data.frame(time = ifelse(pstat == 1, ptime, futime),
    event = ifelse(pstat == 1, 1, ifelse(death == 1, 2, 0)), risk = plogis(-4 + .9 * mspike - .01 * (age - 70)))),
  colrec = function() { data(colrec, package = "relsurv", envir = environment()); with(subset(colrec, stage != 99), data.frame(
    time = time, event = stat,
    risk = plogis(-1.6 + 1.1 * (stage == 2) + 3.2 * (stage == 3) + .03 * (age / 365.241 - 67)))) },
  synthetic = function() { set.seed(1); n <- 240; x <- rnorm(n); t <- rexp(n, .06 * exp(x)); o <- rexp(n, .03)
    end <- runif(n, 1, 15); data.frame(time = round(pmin(t, o, end), 2) + .01,
      event = ifelse(end < pmin(t, o), 0, ifelse(t < o, 1, 2)), risk = round(plogis(-.9 + 1.1 * x), 4)) }
)

judged <- function(name, horizon, threshold, folder) {
  path <- file.path(folder, paste0(name, ".csv"))
  if (!file.exists(path)) { d <- own[[name]](); write.csv(subset(d, time > 0), path, row.names = FALSE) }
  d <- read.csv(path)
  competing <- any(d$event == 2)
  f <- if (competing) Hist(time, event) ~ 1 else Surv(time, event) ~ 1
  s <- Score(list(x = d$risk), formula = f, data = d, times = horizon, cause = 1, metrics = c("auc", "brier"),
             summary = "ipa", cens.model = "km", conf.int = TRUE, null.model = TRUE)
  auc <- as.data.frame(s$AUC$score); b <- as.data.frame(s$Brier$score); b <- b[b$model == "x", ]
  curve <- function(part) {
    if (competing) {
      fit <- survfit(Surv(time, factor(event, 0:2)) ~ 1, data = part, id = seq_len(nrow(part)))
      at <- summary(fit, times = horizon, extend = TRUE)
      c(at$pstate[1, 2], at$std.err[1, 2])
    } else {
      at <- summary(survfit(Surv(time, event) ~ 1, data = part, robust = TRUE), times = horizon, extend = TRUE)
      c(1 - at$surv, at$std.err)
    }
  }
  observed <- curve(d)
  edges <- unique(quantile(d$risk, 1:4 / 5, type = 1))
  groups <- split(d, cut(d$risk, c(-Inf, edges, Inf)))
  acted <- subset(d, risk >= threshold)
  share <- nrow(acted) / nrow(d); within <- curve(acted)[1]
  # Another smoother: Cox (Fine-Gray where risks compete) on a spline of log(-log(1 - risk)); Austin et al. 2020.
  d$cll <- log(-log(1 - d$risk))
  long <- if (competing) finegray(Surv(time, factor(event, 0:2)) ~ cll + risk, data = d, etype = "1") else
    data.frame(fgstart = 0, fgstop = d$time, fgstatus = d$event, fgwt = 1, cll = d$cll)
  fit <- coxph(Surv(fgstart, fgstop, fgstatus) ~ ns(cll, 3), data = long, weights = fgwt)
  base <- basehaz(fit, centered = FALSE); h <- max(c(0, base$hazard[base$time <= horizon]))
  smooth <- 1 - exp(-h * exp(predict(fit, newdata = d, type = "lp", reference = "zero")))
  distance <- abs(smooth - d$risk)
  list(name = name, horizon = horizon, threshold = threshold, n = nrow(d),
    censored_before = sum(d$event == 0 & d$time < horizon), auroc = auc$AUC[1], auroc_low = auc$lower[1],
    auroc_high = auc$upper[1], brier = b$Brier, brier_low = b$lower, brier_high = b$upper, scaled_brier = b$IPA,
    observed_risk = observed[1], observed_risk_se = observed[2], observed_expected_ratio = observed[1] / mean(d$risk),
    group_predicted = unname(sapply(groups, function(g) mean(g$risk))),
    group_observed = unname(sapply(groups, function(g) curve(g)[1])),
    net_benefit_km = share * (within - (1 - within) * threshold / (1 - threshold)),
    ici_cox = mean(distance), e50_cox = median(distance), e90_cox = unname(quantile(distance, .9)))
}

words <- commandArgs(TRUE)
asked <- strsplit(words[-1], "=")
found <- lapply(asked, function(x) judged(x[1], as.numeric(x[2]), as.numeric(x[3]), words[1]))
versions <- sapply(c("riskRegression", "survival"), function(p) as.character(packageVersion(p)))
cat(toJSON(list(versions = as.list(versions), data = found), auto_unbox = TRUE, digits = 10, pretty = TRUE))
