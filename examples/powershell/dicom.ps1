#Requires -Version 7.0
<#
.SYNOPSIS
Imports, exports, stores, finds, fetches and deletes DICOM instances with PowerShell's web cmdlets.

.DESCRIPTION
Two lines differ from calling Google, where they would be

    $Endpoint = 'https://healthcare.googleapis.com/v1'
    $Token = gcloud auth print-access-token

.EXAMPLE
$env:FILEROOM_SERVER = 'http://127.0.0.1:8080'
$env:FILEROOM_TOKEN = fileroom auth print-access-token
pwsh dicom.ps1 import projects/P/locations/L/datasets/D/dicomStores/S 'gs://BUCKET/**.dcm'
#>
param(
    [Parameter(Position = 0)] [string] $Call,
    [Parameter(Position = 1, ValueFromRemainingArguments)] [string[]] $Arguments = @()
)

$Endpoint = "$env:FILEROOM_SERVER/v1"
$Token = $env:FILEROOM_TOKEN

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$Headers = @{ Authorization = "Bearer $Token" }
$Usage = 'usage: dicom.ps1 import STORE gs://BUCKET/PATTERN' +
    ' | export STORE gs://BUCKET/DIRECTORY [MIME_TYPE] | store STORE FILE | search STORE [QUERY]' +
    ' | retrieve STORE STUDY SERIES INSTANCE FILE | rendered STORE STUDY SERIES INSTANCE FILE' +
    ' | delete STORE STUDY'

function Import-DicomData($Store, $Pattern) {
    $Body = @{ gcsSource = @{ uri = $Pattern } } | ConvertTo-Json -Compress
    $Started = Invoke-RestMethod -Method Post -Uri "$Endpoint/${Store}:import" -Headers $Headers `
        -ContentType 'application/json; charset=utf-8' -Body $Body
    Wait-Operation $Started.name
}

function Export-DicomData($Store, $Directory, $MimeType) {
    $Destination = [ordered]@{ uriPrefix = $Directory }
    if ($MimeType) { $Destination.mimeType = $MimeType }
    $Body = @{ gcsDestination = $Destination } | ConvertTo-Json -Compress
    $Started = Invoke-RestMethod -Method Post -Uri "$Endpoint/${Store}:export" -Headers $Headers `
        -ContentType 'application/json; charset=utf-8' -Body $Body
    Wait-Operation $Started.name
}

function Send-Instance($Store, $File) {
    $Accept = @{ Accept = 'application/dicom+json' }
    $Answer = Invoke-WebRequest -Method Post -Uri "$Endpoint/$Store/dicomWeb/studies" `
        -Headers ($Headers + $Accept) -ContentType 'application/dicom' -InFile $File
    Read-Text $Answer
}

function Find-Study($Store, $Query) {
    $Accept = @{ Accept = 'application/dicom+json' }
    $Search = if ($Query) { "?$Query" } else { '' }
    $Answer = Invoke-WebRequest -Method Get -Uri "$Endpoint/$Store/dicomWeb/studies$Search" `
        -Headers ($Headers + $Accept)
    if ($Answer.StatusCode -eq 204) { '[]' } else { Read-Text $Answer }
}

function Save-Instance($Store, $Study, $Series, $Instance, $File) {
    $Accept = @{ Accept = 'application/dicom; transfer-syntax=*' }
    $Path = "studies/$Study/series/$Series/instances/$Instance"
    Invoke-WebRequest -Method Get -Uri "$Endpoint/$Store/dicomWeb/$Path" `
        -Headers ($Headers + $Accept) -OutFile $File
    "wrote $File"
}

function Save-Rendered($Store, $Study, $Series, $Instance, $File) {
    $Accept = @{ Accept = 'image/png' }
    $Path = "studies/$Study/series/$Series/instances/$Instance"
    Invoke-WebRequest -Method Get -Uri "$Endpoint/$Store/dicomWeb/$Path/rendered" `
        -Headers ($Headers + $Accept) -OutFile $File
    "wrote $File"
}

function Remove-Study($Store, $Study) {
    $Started = Invoke-RestMethod -Method Delete -Uri "$Endpoint/$Store/dicomWeb/studies/$Study" `
        -Headers $Headers
    Wait-Operation $Started.name
}

# Gives the counters of an operation when it has ended; what failed goes to standard error.
function Wait-Operation($Name) {
    $Pause = 200
    do {
        Start-Sleep -Milliseconds $Pause
        $Pause = [Math]::Min(2000, 2 * $Pause)
        $Operation = Invoke-RestMethod -Method Get -Uri "$Endpoint/$Name" -Headers $Headers
    } until ($Operation.done)

    $Counter = $Operation.metadata.counter
    if ($Counter) { ConvertTo-Json -Compress $Counter } else { '{}' }
    if ($Operation.error) {
        [Console]::Error.WriteLine($Operation.error.message)
        $Details = $Operation.error.details | Select-Object -First 1
        foreach ($Sample in $Details.sampleErrors) {
            [Console]::Error.WriteLine("$($Sample.resource): $($Sample.error.message)")
        }
        exit 1
    }
}

# DICOM JSON is UTF-8; as its media type is not application/json, Content is bytes and no text.
function Read-Text($Answer) {
    [Text.Encoding]::UTF8.GetString($Answer.RawContentStream.ToArray())
}

# What the server says of a request that it refused, or else what PowerShell says.
function Read-Message($ErrorRecord) {
    $Body = $ErrorRecord.ErrorDetails.Message
    if (-not $Body) { return $ErrorRecord.Exception.Message }
    try { $Status = (ConvertFrom-Json $Body).error } catch { return $Body }
    if ($Status) { "$($Status.status): $($Status.message)" } else { $Body }
}

try {
    switch ("$Call $($Arguments.Count)") {
        'import 2' { Import-DicomData @Arguments }
        'export 2' { Export-DicomData @Arguments }
        'export 3' { Export-DicomData @Arguments }
        'store 2' { Send-Instance @Arguments }
        'search 1' { Find-Study @Arguments }
        'search 2' { Find-Study @Arguments }
        'retrieve 5' { Save-Instance @Arguments }
        'rendered 5' { Save-Rendered @Arguments }
        'delete 2' { Remove-Study @Arguments }
        default {
            [Console]::Error.WriteLine($Usage)
            exit 2
        }
    }
}
catch {
    [Console]::Error.WriteLine((Read-Message $_))
    exit 1
}
