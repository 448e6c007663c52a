// Command go-client works on a DICOM store with Google's Go client of the Cloud Healthcare API.
//
// Two options, both in newService, tell it from a program that calls Google:
//
//	                Google    here
//	endpoint        absent    option.WithEndpoint, of FILEROOM_SERVER
//	credentials     absent    option.WithTokenSource, of FILEROOM_TOKEN; or absent, with a key file
//
// To build and run it:
//
//	go build -C examples/go -o $PWD/.tools/examples/go-client .
//	export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=$(fileroom auth print-access-token)
//	.tools/examples/go-client import projects/P/locations/L/datasets/D/dicomStores/S 'gs://BUCKET/**'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/healthcare/v1"
	"google.golang.org/api/option"
)

var errUsage = errors.New("usage: go-client import STORE URI | export STORE URI [MIME_TYPE] | " +
	"store STORE FILE | search STORE [QUERY] | retrieve STORE STUDY SERIES INSTANCE FILE | " +
	"rendered STORE STUDY SERIES INSTANCE FILE | delete STORE STUDY")

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// run makes the call that the arguments name.
func run(args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	service, err := newService()
	if err != nil {
		return err
	}
	c := client{service.Projects.Locations.Datasets, args[1]}
	switch call, rest := args[0], args[2:]; {
	case call == "import" && len(rest) == 1:
		return c.importObjects(rest[0])
	case call == "export" && len(rest) == 1:
		return c.export(rest[0], "")
	case call == "export" && len(rest) == 2:
		return c.export(rest[0], rest[1])
	case call == "store" && len(rest) == 1:
		return c.storeInstance(rest[0])
	case call == "search" && len(rest) == 0:
		return c.searchStudies("")
	case call == "search" && len(rest) == 1:
		return c.searchStudies(rest[0])
	case call == "retrieve" && len(rest) == 4:
		return c.retrieve(instancePath(rest), rest[3])
	case call == "rendered" && len(rest) == 4:
		return c.retrieveRendered(instancePath(rest), rest[3])
	case call == "delete" && len(rest) == 1:
		return c.deleteStudy(rest[0])
	default:
		return errUsage
	}
}

// newService connects to Fileroom; without the two options it would connect to Google. Without a token
// the client finds its credentials by itself, such as the key file of GOOGLE_APPLICATION_CREDENTIALS.
func newService() (*healthcare.Service, error) {
	options := []option.ClientOption{option.WithEndpoint(os.Getenv("FILEROOM_SERVER") + "/")}
	if token := os.Getenv("FILEROOM_TOKEN"); token != "" {
		source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
		options = append(options, option.WithTokenSource(source))
	}
	return healthcare.NewService(context.Background(), options...)
}

// A client makes calls to one DICOM store.
type client struct {
	datasets *healthcare.ProjectsLocationsDatasetsService
	store    string
}

func (c client) importObjects(uri string) error {
	call := c.datasets.DicomStores.Import(c.store, &healthcare.ImportDicomDataRequest{
		GcsSource: &healthcare.GoogleCloudHealthcareV1DicomGcsSource{Uri: uri},
	})
	return c.wait(call.Do())
}

func (c client) export(uriPrefix, mimeType string) error {
	call := c.datasets.DicomStores.Export(c.store, &healthcare.ExportDicomDataRequest{
		GcsDestination: &healthcare.GoogleCloudHealthcareV1DicomGcsDestination{
			UriPrefix: uriPrefix,
			MimeType:  mimeType,
		},
	})
	return c.wait(call.Do())
}

func (c client) storeInstance(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	call := c.datasets.DicomStores.StoreInstances(c.store, "studies", file)
	call.Header().Set("Content-Type", "application/dicom")
	call.Header().Set("Accept", "application/dicom+json")
	return printBody(call.Do())
}

func (c client) searchStudies(query string) error {
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	var options []googleapi.CallOption
	for name, values := range parameters {
		options = append(options, googleapi.QueryParameter(name, values...))
	}
	call := c.datasets.DicomStores.SearchForStudies(c.store, "studies")
	call.Header().Set("Accept", "application/dicom+json")
	return printBody(call.Do(options...))
}

func (c client) retrieve(instance, path string) error {
	instances := c.datasets.DicomStores.Studies.Series.Instances
	call := instances.RetrieveInstance(c.store, instance)
	call.Header().Set("Accept", "application/dicom; transfer-syntax=*")
	response, err := call.Do()
	return writeBody(path, response, err)
}

func (c client) retrieveRendered(instance, path string) error {
	instances := c.datasets.DicomStores.Studies.Series.Instances
	call := instances.RetrieveRendered(c.store, instance+"/rendered")
	call.Header().Set("Accept", "image/png")
	response, err := call.Do()
	return writeBody(path, response, err)
}

func (c client) deleteStudy(study string) error {
	return c.wait(c.datasets.DicomStores.Studies.Delete(c.store, "studies/"+study).Do())
}

// wait takes what a call answered. It polls the operation until it is done, prints its counters,
// and gives its error.
func (c client) wait(operation *healthcare.Operation, err error) error {
	for pause := 200 * time.Millisecond; err == nil && !operation.Done; {
		time.Sleep(pause)
		pause = min(2*pause, 2*time.Second)
		operation, err = c.datasets.Operations.Get(operation.Name).Do()
	}
	if err != nil {
		return err
	}
	metadata := healthcare.OperationMetadata{Counter: &healthcare.ProgressCounter{}}
	if err := json.Unmarshal(operation.Metadata, &metadata); err != nil {
		return err
	}
	counter, err := json.Marshal(metadata.Counter)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", counter)
	if operation.Error == nil {
		return nil
	}
	return operationError(operation.Error)
}

// operationError gives the message of a failed operation, then that of each object it names.
func operationError(status *healthcare.Status) error {
	message := status.Message
	if len(status.Details) > 0 {
		var details struct {
			SampleErrors []struct {
				Resource string
				Error    healthcare.Status
			}
		}
		if err := json.Unmarshal(status.Details[0], &details); err != nil {
			return err
		}
		for _, sample := range details.SampleErrors {
			message += fmt.Sprintf("\n%s: %s", sample.Resource, sample.Error.Message)
		}
	}
	return errors.New(message)
}

func instancePath(uids []string) string {
	return fmt.Sprintf("studies/%s/series/%s/instances/%s", uids[0], uids[1], uids[2])
}

// printBody prints the JSON that a DICOMweb call answered: an empty list where nothing was found.
func printBody(response *http.Response, err error) error {
	if err := refusal(response, err); err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		fmt.Println("[]")
		return nil
	}
	_, err = io.Copy(os.Stdout, response.Body)
	fmt.Println()
	return err
}

// writeBody writes what a DICOMweb call answered into a file.
func writeBody(path string, response *http.Response, err error) error {
	if err := refusal(response, err); err != nil {
		return err
	}
	defer response.Body.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	fmt.Println("wrote", path)
	return nil
}

// refusal gives the error of a DICOMweb call, whose status the client leaves to its caller.
func refusal(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	return googleapi.CheckResponse(response)
}
