// What a page waits for: its value, its error, and the way to ask again.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";

// Ask with `ask(signal)` now and whenever one of `inputs` changes.
export function useAnswer(ask, inputs) {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((count) => count + 1), []);
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...before, loading: true, error: undefined }));
    ask(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value, loading: false }),
      (error) => abort.signal.aborted || setState({ error, loading: false }),
    );
    return () => abort.abort();
  }, [...inputs, round]);
  return { ...state, again };
}

// Ask every `milliseconds` while `wanted`, the first time at once; a hidden tab asks less often. It goes on
// when the server is away or in trouble, and ends when the server says that there is nothing to ask.
export function useRepeated(ask, milliseconds, wanted, inputs) {
  const [state, setState] = useState({});
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    let timer;
    const round = async () => {
      try {
        const value = await latest.current(abort.signal);
        if (abort.signal.aborted) return;
        setState({ value });
        if (!wanted(value)) return;
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((before) => ({ ...before, error }));
        if (isRefusal(error)) return;
      }
      timer = setTimeout(round, document.hidden ? milliseconds * 10 : milliseconds);
    };
    round();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, inputs);
  return state;
}

function isRefusal({ status }) {
  return status >= 400 && status < 500 && status !== 429;
}
