// What a page waits for: its value, its error, and the way to ask again.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";

const REST_MILLISECONDS = 300;

// Ask with `ask(signal)` now and whenever one of `inputs` changes: what was answered before is then gone at
// once. It stays while the same is asked anew, by `again` or since one of `rounds` has changed.
export function useAnswer(ask, inputs, rounds = []) {
  const [state, setState] = useState({ inputs, loading: true });
  const [count, setCount] = useState(0);
  const again = useCallback(() => setCount((before) => before + 1), []);
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...answerTo(inputs, before), loading: true, error: undefined }));
    ask(abort.signal).then(
      (value) => abort.signal.aborted || setState({ inputs, value, loading: false }),
      (error) => abort.signal.aborted || setState({ inputs, error, loading: false }),
    );
    return () => abort.abort();
  }, [...inputs, ...rounds, count]);
  return { ...answerTo(inputs, state), again };
}

// Ask about a text once the typing rests; until then nothing is known of it.
export function useRestedAnswer(ask, text) {
  const [rested, setRested] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setRested(text), REST_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [text]);
  const answer = useAnswer((signal) => ask(rested, signal), [rested]);
  return rested === text ? answer : { loading: true };
}

function answerTo(inputs, state) {
  const isSame = inputs.every((input, index) => input === state.inputs[index]);
  return isSame ? state : { inputs, loading: true };
}

// Ask every `milliseconds` while `wanted`, the first time at once; a hidden tab asks less often, and at once
// when it is shown again. It goes on when the server is away or in trouble, and ends when the server says that
// there is nothing to ask.
export function useRepeated(ask, milliseconds, wanted, inputs) {
  const [state, setState] = useState({});
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    let timer;
    const round = async () => {
      timer = undefined;
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
    const shown = () => {
      if (document.hidden || timer === undefined) return;
      clearTimeout(timer);
      round();
    };
    document.addEventListener("visibilitychange", shown);
    round();
    return () => {
      document.removeEventListener("visibilitychange", shown);
      abort.abort();
      clearTimeout(timer);
    };
  }, inputs);
  return state;
}

function isRefusal({ status }) {
  return status >= 400 && status < 500 && status !== 429;
}
