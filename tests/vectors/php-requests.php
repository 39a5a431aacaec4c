<?php

declare(strict_types=1);

/*
 * Sends what PHP applications send, by the curl extension and by Guzzle, to a server that records the bytes.
 * `npx tsx tests/vectors/write-php-requests.ts` runs it and writes php-requests.json.
 *
 *   php tests/vectors/php-requests.php PORT     Debian: php-curl, php-guzzlehttp-guzzle
 */

$port = $argv[1];
require 'GuzzleHttp/autoload.php';

$requests = [
    // Laravel: Http::post($url) without data
    ['validate', '/v1/integration/licenses/{key}/validate', []],
    ['validate with null', '/api/v1/integration/licenses/{key}/validate', null],
    ['activate', '/v1/integration/activations', [
        'license_key' => '{key}', 'instance_id' => 'php', 'metadata' => [],
    ]],
    ['activate with unset fields', '/v1/integration/activations', [
        'license_key' => '{key}', 'instance_id' => 'php', 'fingerprint' => null,
        'device_fingerprint' => null, 'metadata' => null,
    ]],
    ['check', '/v1/integration/entitlements/check', [
        'license_key' => '{key}', 'features' => ['exports'], 'entitlement_codes' => null,
    ]],
];

$guzzle = new GuzzleHttp\Client(['base_uri' => "http://127.0.0.1:$port", 'http_errors' => false]);
foreach ($requests as [$name, $path, $data]) {
    $marks = ['X-Name' => $name, 'X-Path' => $path];
    $guzzle->post('/', ['headers' => $marks + ['X-Client' => 'guzzle'], 'json' => $data]);
    foreach (['application/json', 'application/json; charset=utf8'] as $type) {
        $curl = curl_init("http://127.0.0.1:$port/");
        curl_setopt_array($curl, [
            CURLOPT_POST => true,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_POSTFIELDS => json_encode($data),
            CURLOPT_HTTPHEADER => [
                "Content-Type: $type", "X-Name: $name", "X-Path: $path", 'X-Client: curl',
            ],
        ]);
        curl_exec($curl);
    }
}
