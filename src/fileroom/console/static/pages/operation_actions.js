// What can be done with an operation: have it wait or go on, cancel it, try again what failed, take it back.

import { call } from "../api.js";
import { api, lastSegment, operationPath, storePath } from "../names.js";
import { Calls } from "../parts/calls.js";
import { Dialog } from "../parts/dialog.js";
import { Download } from "../parts/download.js";
import { ErrorNotice } from "../parts/notice.js";
import { countOf, failedOf, isAskedToWait, isTrial, kindOf, requestOf } from "../progress.js";
import { navigate } from "../router.js";
import { curl, gcloud, literal } from "../shell.js";
import { number, t } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

const WITH_LEDGER = /^(Import|Export)/;

export function Actions({ place, route, operation }) {
  const [asking, setAsking] = useState("");
  const [refused, setRefused] = useState(null);
  const { done } = operation;
  const kind = kindOf(operation);
  const canStop = !done && !operation.metadata.cancelRequested;
  const wasImport = done && kind === "ImportDicomData";
  const canUndo = wasImport && !isTrial(operation) && countOf(operation) > failedOf(operation);
  const ask = (what) => html`<button type="button" onClick=${() => setAsking(what)}>${t(`operations.${what}`)}</button>`;
  const dialog = { place, route, operation, close: () => setAsking("") };
  return html`
    ${done && countOf(operation) > 0 && WITH_LEDGER.test(kind) && html`<${Download}
      path=${`${route}:ledger`} fileName=${`ledger-${place.operation}.csv`} options=${{ query: { format: "csv" } }}>
      ${t("operations.ledger")}<//>`}
    ${canStop && !kind.startsWith("Delete") && html`<${WaitButton} route=${route}
      asked=${isAskedToWait(operation)} refuse=${setRefused} />`}
    ${canStop && ask("cancel")}
    ${wasImport && failedOf(operation) > 0 && ask("retry")}
    ${canUndo && ask("undo")}
    <${ErrorNotice} error=${refused} />
    ${asking === "cancel" && html`<${CancelDialog} ...${dialog} />`}
    ${asking === "retry" && html`<${RetryDialog} ...${dialog} />`}
    ${asking === "undo" && html`<${UndoDialog} ...${dialog} />`}`;
}

// Has it wait, or go on; a second later the page shows that it does.
function WaitButton({ route, asked, refuse }) {
  const verb = asked ? "resume" : "pause";
  const ask = () => call("POST", `${route}:${verb}`, { body: {} }).then(() => refuse(null), refuse);
  return html`<button type="button" onClick=${ask}>${t(`operations.${verb}`)}</button>`;
}

function CancelDialog({ place, route, close }) {
  const submit = async (signal) => {
    await call("POST", `${route}:cancel`, { body: {}, signal });
    close();
  };
  return html`<${Dialog} title=${t("operations.cancel")} action=${t("operations.cancel")} danger submit=${submit}
    leave=${t("operations.cancel.leave")} close=${close}>
    <p>${t("operations.cancel.question")}</p>
    <${Calls} calls=${cancelCalls(place, route)} />
  <//>`;
}

// Import again what failed, from where it was, and go to that operation.
function RetryDialog({ place, operation, close }) {
  const failed = failedOf(operation);
  const store = api(storePath({ ...place, dicomStore: requestOf(operation).dicomStore }));
  const body = { fileroomOptions: { retryOf: operation.name } };
  const submit = async (signal) => {
    const { name } = await call("POST", `${store}:import`, { body, signal });
    close();
    navigate(operationPath(place, lastSegment(name)));
  };
  return html`<${Dialog} title=${t("operations.retry")} action=${t("operations.retry")} submit=${submit} close=${close}>
    <p>${t("operations.retry.question", { count: failed, failed: number(failed) })}</p>
    <${Calls} calls=${{ curl: curl("POST", `${store}:import`, body),
      Python: `client.wait(client.import_(${literal(operation.metadata.fileroomRequest.name)}, `
        + `retry_of=${literal(operation.name)}))` }} />
  <//>`;
}

// Take back what an import did, and go to the operation that does it.
function UndoDialog({ place, route, operation, close }) {
  const submit = async (signal) => {
    const { name } = await call("POST", `${route}:undo`, { body: {}, signal });
    close();
    navigate(operationPath(place, lastSegment(name)));
  };
  return html`<${Dialog} title=${t("operations.undo")} action=${t("operations.undo")} danger submit=${submit}
    close=${close}>
    <p>${t("operations.undo.question")}</p>
    <${Calls} calls=${{ curl: curl("POST", `${route}:undo`, {}),
      Python: `client.wait(client.undo_import(${literal(operation.name)}))` }} />
  <//>`;
}

function cancelCalls(place, route) {
  return {
    curl: curl("POST", `${route}:cancel`, {}),
    gcloud: gcloud(["operations", "cancel", place.operation], place),
    Python: `client.cancel_operation(${literal(operationPath(place, place.operation).slice(1))})`,
  };
}
