// OHIF's settings for a DICOM store of Fileroom; put it beside the viewer's index.html.
// Yours to change are the first two values: the store, and where the access token comes from.
const dicomWeb =
  'http://127.0.0.1:8080/v1/projects/demo/locations/us-central1/datasets/radiology/dicomStores/main/dicomWeb';

function accessToken() {
  const token = sessionStorage.getItem('fileroom-token') ?? prompt('Access token of Fileroom');
  sessionStorage.setItem('fileroom-token', token);
  return token;
}

window.config = ({servicesManager}) => ({
  routerBasename: '/',
  extensions: [],
  modes: [],
  showStudyList: true,
  defaultDataSourceName: 'fileroom',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'fileroom',
      configuration: {
        friendlyName: 'Fileroom',
        name: 'fileroom',
        qidoRoot: dicomWeb,
        wadoRoot: dicomWeb,
        qidoSupportsIncludeField: true,
        supportsWildcard: true,
        supportsFuzzyMatching: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        // Called before the first request, when the services are there.
        onConfiguration: (configuration) => {
          const token = accessToken();
          servicesManager.services.userAuthenticationService.setServiceImplementation({
            getAuthorizationHeader: () => ({Authorization: `Bearer ${token}`}),
          });
          return configuration;
        },
      },
    },
  ],
});
