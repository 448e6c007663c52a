package dev.fileroom.examples;

import com.google.api.client.http.HttpRequest;
import com.google.api.client.http.HttpRequestInitializer;
import com.google.api.client.http.HttpResponse;
import com.google.api.client.http.HttpResponseException;
import com.google.api.client.http.HttpStatusCodes;
import com.google.api.client.http.InputStreamContent;
import com.google.api.client.http.UrlEncodedParser;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.api.client.json.gson.GsonFactory;
import com.google.api.services.healthcare.v1.CloudHealthcare;
import com.google.api.services.healthcare.v1.CloudHealthcareScopes;
import com.google.api.services.healthcare.v1.model.ExportDicomDataRequest;
import com.google.api.services.healthcare.v1.model.GoogleCloudHealthcareV1DicomGcsDestination;
import com.google.api.services.healthcare.v1.model.GoogleCloudHealthcareV1DicomGcsSource;
import com.google.api.services.healthcare.v1.model.ImportDicomDataRequest;
import com.google.api.services.healthcare.v1.model.Operation;
import com.google.api.services.healthcare.v1.model.Status;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.ConnectException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Works on a DICOM store with Google's Java client of the Cloud Healthcare API.
 *
 * <p>Two lines, both in {@link #connect}, tell it from a program that calls Google:
 *
 * <pre>
 *                Google                          here
 * endpoint       absent                          setRootUrl, of FILEROOM_SERVER
 * credentials    new HttpCredentialsAdapter(...) the header Authorization, of FILEROOM_TOKEN
 * </pre>
 *
 * <p>To build and run it:
 *
 * <pre>
 * mvn -q -B -f examples/java/pom.xml -DbuildDirectory=$PWD/.tools/examples/java package
 * export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=$(fileroom auth print-access-token)
 * java -cp '.tools/examples/java/*:.tools/examples/java/lib/*' dev.fileroom.examples.Dicom \
 *     import projects/P/locations/L/datasets/D/dicomStores/S 'gs://BUCKET/**'
 * </pre>
 */
public final class Dicom {
    private static final String USAGE =
            "usage: Dicom import STORE URI | export STORE URI [MIME_TYPE] | store STORE FILE"
                    + " | search STORE [QUERY] | retrieve STORE STUDY SERIES INSTANCE FILE"
                    + " | rendered STORE STUDY SERIES INSTANCE FILE | delete STORE STUDY";

    private final CloudHealthcare.Projects.Locations.Datasets datasets;
    private final CloudHealthcare.Projects.Locations.Datasets.DicomStores dicomStores;

    private Dicom(CloudHealthcare healthcare) {
        datasets = healthcare.projects().locations().datasets();
        dicomStores = datasets.dicomStores();
    }

    public static void main(String[] args) throws Exception {
        try {
            run(args);
        } catch (IOException | IllegalArgumentException error) {
            System.err.println(explain(error));
            System.exit(1);
        }
    }

    /** Gives what an error says, with what Java leaves out: the address, the body of a 401. */
    private static String explain(Exception error) {
        String message = error.getMessage();
        if (error instanceof ConnectException) {
            return "no server answers at " + System.getenv("FILEROOM_SERVER") + ": " + message;
        }
        if (error instanceof HttpResponseException refused
                && refused.getStatusCode() == HttpStatusCodes.STATUS_CODE_UNAUTHORIZED
                && refused.getContent() == null) {
            return message
                    + "\nFILEROOM_TOKEN is not the access token of this server;"
                    + " `fileroom auth print-access-token` prints it";
        }
        return message;
    }

    /** Makes the call that the arguments name, told apart by its name and their number. */
    private static void run(String[] args) throws Exception {
        Dicom dicom = new Dicom(connect());
        switch (args.length == 0 ? "" : args[0] + "/" + (args.length - 1)) {
            case "import/2" -> dicom.importObjects(args[1], args[2]);
            case "export/2" -> dicom.export(args[1], args[2], null);
            case "export/3" -> dicom.export(args[1], args[2], args[3]);
            case "store/2" -> dicom.storeInstance(args[1], args[2]);
            case "search/1" -> dicom.searchStudies(args[1], "");
            case "search/2" -> dicom.searchStudies(args[1], args[2]);
            case "retrieve/5" ->
                dicom.retrieve(args[1], instancePath(args[2], args[3], args[4]), args[5]);
            case "rendered/5" ->
                dicom.retrieveRendered(args[1], instancePath(args[2], args[3], args[4]), args[5]);
            case "delete/2" -> dicom.deleteStudy(args[1], args[2]);
            default -> {
                System.err.println(USAGE);
                System.exit(2);
            }
        }
    }

    /**
     * Connects to Fileroom instead of Google. Without a token the client finds its credentials by
     * itself, such as the key file of GOOGLE_APPLICATION_CREDENTIALS.
     */
    private static CloudHealthcare connect() throws IOException {
        String token = System.getenv("FILEROOM_TOKEN");
        HttpRequestInitializer credentials =
                token == null || token.isEmpty()
                        ? new HttpCredentialsAdapter(
                                GoogleCredentials.getApplicationDefault()
                                        .createScoped(CloudHealthcareScopes.CLOUD_PLATFORM))
                        : request -> request.getHeaders().setAuthorization("Bearer " + token);
        return new CloudHealthcare.Builder(
                        new NetHttpTransport(), GsonFactory.getDefaultInstance(), credentials)
                .setRootUrl(System.getenv("FILEROOM_SERVER") + "/")
                .setApplicationName("fileroom-example")
                .build();
    }

    private void importObjects(String store, String uri) throws Exception {
        var request =
                new ImportDicomDataRequest()
                        .setGcsSource(new GoogleCloudHealthcareV1DicomGcsSource().setUri(uri));
        await(dicomStores.healthcareImport(store, request).execute());
    }

    private void export(String store, String uriPrefix, String mimeType) throws Exception {
        var request =
                new ExportDicomDataRequest()
                        .setGcsDestination(
                                new GoogleCloudHealthcareV1DicomGcsDestination()
                                        .setUriPrefix(uriPrefix)
                                        .setMimeType(mimeType));
        await(dicomStores.export(store, request).execute());
    }

    /** Stores a file. Its bytes are the body, which the generated method would write as JSON. */
    private void storeInstance(String store, String file) throws IOException {
        HttpRequest request = dicomStores.storeInstances(store, "studies", null).buildHttpRequest();
        request.getHeaders().setAccept("application/dicom+json");
        try (InputStream content = new FileInputStream(file)) {
            request.setContent(new InputStreamContent("application/dicom", content));
            print(request.execute());
        }
    }

    private void searchStudies(String store, String query) throws IOException {
        var search = dicomStores.searchForStudies(store, "studies");
        UrlEncodedParser.parse(query, search);
        search.getRequestHeaders().setAccept("application/dicom+json");
        HttpResponse response = search.executeUnparsed();
        if (response.getStatusCode() == HttpStatusCodes.STATUS_CODE_NO_CONTENT) {
            System.out.println("[]");
        } else {
            print(response);
        }
    }

    private void retrieve(String store, String instance, String file) throws IOException {
        var instances = dicomStores.studies().series().instances();
        var retrieval = instances.retrieveInstance(store, instance);
        retrieval.getRequestHeaders().setAccept("application/dicom; transfer-syntax=*");
        write(retrieval.executeUnparsed(), file);
    }

    private void retrieveRendered(String store, String instance, String file) throws IOException {
        var instances = dicomStores.studies().series().instances();
        var retrieval = instances.retrieveRendered(store, instance + "/rendered");
        retrieval.getRequestHeaders().setAccept("image/png");
        write(retrieval.executeUnparsed(), file);
    }

    private void deleteStudy(String store, String study) throws Exception {
        await(dicomStores.studies().delete(store, "studies/" + study).execute());
    }

    /** Polls an operation until it is done, prints its counters, and throws its error. */
    private void await(Operation operation) throws IOException, InterruptedException {
        long pauseMilliseconds = 200;
        while (!Boolean.TRUE.equals(operation.getDone())) {
            Thread.sleep(pauseMilliseconds);
            pauseMilliseconds = Math.min(2 * pauseMilliseconds, 2000);
            operation = datasets.operations().get(operation.getName()).execute();
        }
        Object counter = operation.getMetadata().getOrDefault("counter", Map.of());
        System.out.println(GsonFactory.getDefaultInstance().toString(counter));
        if (operation.getError() != null) {
            throw new IOException(describe(operation.getError()));
        }
    }

    /** Gives the message of a failed operation, then that of each object it names. */
    private static String describe(Status error) {
        StringBuilder lines = new StringBuilder(error.getMessage());
        if (error.getDetails() != null) {
            Object samples = error.getDetails().get(0).getOrDefault("sampleErrors", List.of());
            for (Object each : (List<?>) samples) {
                var sample = (Map<?, ?>) each;
                var cause = (Map<?, ?>) sample.get("error");
                lines.append("\n" + sample.get("resource") + ": " + cause.get("message"));
            }
        }
        return lines.toString();
    }

    private static String instancePath(String study, String series, String instance) {
        return "studies/%s/series/%s/instances/%s".formatted(study, series, instance);
    }

    private static void print(HttpResponse response) throws IOException {
        response.download(System.out);
        System.out.println();
    }

    private static void write(HttpResponse response, String file) throws IOException {
        try (OutputStream output = Files.newOutputStream(Path.of(file))) {
            response.download(output);
        }
        System.out.println("wrote " + file);
    }
}
