// The frame of the console: who is signed in, which page the address names.

import { Frame } from "./parts/frame.js";
import { Buckets } from "./pages/buckets.js";
import { Dataset } from "./pages/dataset.js";
import { Datasets } from "./pages/datasets.js";
import { Logs } from "./pages/logs.js";
import { OperationPage } from "./pages/operation.js";
import { Operations } from "./pages/operations.js";
import { Projects } from "./pages/projects.js";
import { SignIn } from "./pages/sign_in.js";
import { Studies } from "./pages/studies.js";
import { Study } from "./pages/study.js";
import { Viewer } from "./pages/viewer.js";
import { call } from "./api.js";
import { useAnswer } from "./loading.js";
import { match, useLocation } from "./router.js";
import { onSession, token } from "./session.js";
import { applyTheme } from "./theme.js";
import { language, t } from "./texts.js";
import { html, render, useEffect, useState } from "./vendor/preact.js";
import { Empty, ErrorNotice, Loading } from "./parts/notice.js";

const DATASETS = "/projects/:project/locations/:location";
const DATASET = `${DATASETS}/datasets/:dataset`;
const STORE = `${DATASET}/dicomStores/:dicomStore`;

const PAGES = [
  ["/", Projects],
  ["/buckets", Buckets],
  ["/buckets/:bucket", Buckets],
  [DATASETS, Datasets],
  [DATASET, Dataset],
  [`${DATASET}/operations`, Operations],
  [`${DATASET}/operations/:operation`, OperationPage],
  [`${DATASET}/operations/:operation/logs`, Logs],
  [`${DATASET}/logs`, Logs],
  [STORE, Studies],
  [`${STORE}/studies/:study`, Study],
  [`${STORE}/studies/:study/series/:series`, Viewer],
];

function Page() {
  const { path, query, state } = useLocation();
  for (const [template, Component] of PAGES) {
    const place = match(template, path);
    if (place) return html`<${Component} key=${path} place=${place} query=${query} state=${state} />`;
  }
  return html`<main><${Empty} title=${t("absent.title")}><a href="/console">${t("absent.home")}</a><//></main>`;
}

// Nobody needs to sign in where the server lets everybody in.
function App() {
  const [, drawn] = useState(0);
  useEffect(() => onSession(() => drawn((count) => count + 1)), []);
  const open = useAnswer(
    async (signal) => {
      if (token()) return true;
      try {
        await call("GET", "/v1/projects", { signal });
        return true;
      } catch (error) {
        if (error.status === 401) return false;
        throw error;
      }
    },
    [token()],
  );
  if (open.error) return html`<main><${ErrorNotice} error=${open.error} again=${open.again} /></main>`;
  if (open.value === undefined) return html`<main><${Loading} /></main>`;
  if (!token() && !open.value) return html`<${SignIn} />`;
  return html`<${Frame}><${Page} /><//>`;
}

document.documentElement.lang = language;
applyTheme();
render(html`<${App} />`, document.getElementById("app"));
