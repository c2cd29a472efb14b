import process from "node:process";

/**
 * How many files and connections this process may have open (RLIMIT_NOFILE; Node raises the soft limit to the hard one);
 * undefined: no bound.
 */
export function openFileLimit(): number | undefined {
  // The one portable source. Without the network: it would look up the names of all addresses.
  const { report } = process as { report: NodeJS.ProcessReport & { excludeNetwork?: boolean } };
  const before = report.excludeNetwork ?? false;
  report.excludeNetwork = true;
  try {
    const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
    const limit = Number(userLimits?.open_files?.soft);
    return Number.isFinite(limit) ? limit : undefined;
  } finally {
    report.excludeNetwork = before;
  }
}
