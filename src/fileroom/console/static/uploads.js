// Files on their way to a bucket, one after another.

const FAILURES_MAX = 100;

// `send(name, file, signal)` sends one; `changed(account)` is told how far it is: { total, sent, failed, failures }.
export function createUploads(send, changed) {
  const abort = new AbortController();
  const waiting = [];
  let account = { total: 0, sent: 0, failed: 0, failures: [] };
  let isRunning = false;
  const tell = (change) => {
    account = { ...account, ...change };
    changed(account);
  };
  const one = async ({ name, open }) => {
    try {
      await send(name, await open(), abort.signal);
      if (!abort.signal.aborted) tell({ sent: account.sent + 1 });
    } catch (error) {
      if (abort.signal.aborted) return;
      const failures = [...account.failures, { name, error }].slice(0, FAILURES_MAX);
      tell({ failed: account.failed + 1, failures });
    }
  };
  return {
    // Files as { name, open() }. Those that come while others are sent wait for them, and are counted with them.
    async take(files) {
      if (!files.length) return;
      waiting.push(...files);
      if (isRunning) {
        tell({ total: account.total + files.length });
        return;
      }
      isRunning = true;
      tell({ total: files.length, sent: 0, failed: 0, failures: [] });
      while (waiting.length && !abort.signal.aborted) await one(waiting.shift());
      isRunning = false;
    },
    close: () => abort.abort(),
  };
}
