// Settings of OHIF where it is served beside the console: the DICOM store that the address names,
// and the token of the one who signed in to the console in this tab.

const KEY = "fileroom.dicomStore";
const named = new URLSearchParams(location.search).get("dicomStore");
if (named) sessionStorage.setItem(KEY, named);
const dicomWeb = `/v1/${sessionStorage.getItem(KEY)}/dicomWeb`;

window.config = ({ servicesManager }) => ({
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  showStudyList: true,
  defaultDataSourceName: "fileroom",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "fileroom",
      configuration: {
        friendlyName: "Fileroom",
        name: "fileroom",
        qidoRoot: location.origin + dicomWeb,
        wadoRoot: location.origin + dicomWeb,
        qidoSupportsIncludeField: true,
        supportsWildcard: true,
        supportsFuzzyMatching: true,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        onConfiguration: (configuration) => {
          const token = sessionStorage.getItem("fileroom.token");
          servicesManager.services.userAuthenticationService.setServiceImplementation({
            getAuthorizationHeader: () => (token ? { Authorization: `Bearer ${token}` } : {}),
          });
          return configuration;
        },
      },
    },
  ],
});
