<?php

declare(strict_types=1);

/*
 * What Laravel Sanctum 4 does with personal access tokens, in plain PHP: cases, and what comes of each, as JSON.
 * The functions carry the names of those they follow (Laravel\Sanctum\Guard, PersonalAccessToken and
 * HasApiTokens; Illuminate\Http\Request). Every result is computed by them; what is ours says so.
 * Nothing is random: it prints the same each time.
 *
 *   php tests/vectors/sanctum.php > tests/vectors/sanctum.json
 *   npx biome format --write tests/vectors/sanctum.json
 */

const USER = 'App\Models\User';
const ADMIN = 'App\Models\Admin';

/** Who has the number that stands in tokenable_id, and how they are: of each class there is one, or none. */
const HOLDERS = [
    'user' => [USER => 'well'],
    'admin' => [ADMIN => 'well'],
    'user and admin' => [USER => 'well', ADMIN => 'well'],
    'deleted user' => [USER => 'deleted'],
    'deleted admin' => [ADMIN => 'deleted'],
    'disabled user' => [USER => 'disabled'],
    'disabled admin' => [ADMIN => 'disabled'],
    'missing user' => [],
];

// as Illuminate\Foundation\Bootstrap\HandleExceptions has it: a warning ends the request
set_error_handler(static function (int $level, string $message): never {
    throw new ErrorException($message, 0, $level);
});

// --- Sanctum ---------------------------------------------------------------------------------------------------

/** HasApiTokens::generateTokenString, with the random part given. */
function generateTokenString(string $entropy, string $prefix = ''): string
{
    return sprintf('%s%s%s', $prefix, $entropy, hash('crc32b', $entropy));
}

/** Request::bearerToken */
function bearerToken(string $header): ?string
{
    $position = strripos($header, 'Bearer ');
    if ($position === false) {
        return null;
    }
    $header = substr($header, $position + 7);
    return str_contains($header, ',') ? strstr($header, ',', true) : $header;
}

/** Guard::isValidBearerToken, for a key of type int */
function isValidBearerToken(?string $token): bool
{
    if ($token !== null && str_contains($token, '|')) {
        [$id, $token] = explode('|', $token, 2);
        return ctype_digit($id) && ! empty($token);
    }
    return ! empty($token);
}

/** PersonalAccessToken::findToken */
function findToken(array $table, string $token): ?array
{
    if (strpos($token, '|') === false) {
        $hash = hash('sha256', $token);
        foreach ($table as $row) {
            if ($row['token'] === $hash) {
                return $row;
            }
        }
        return null;
    }
    [$id, $token] = explode('|', $token, 2);
    $row = find($table, $id);
    return $row !== null && hash_equals($row['token'], hash('sha256', $token)) ? $row : null;
}

/** Model::find: the database takes a text of digits for the number that it spells. */
function find(array $table, string $id): ?array
{
    $number = ltrim($id, '0');
    foreach ($table as $key => $row) {
        if ((string) $key === $number) {
            return $row;
        }
    }
    return null;
}

/** Guard::isValidAccessToken; all times count from now. The guard has no provider, as is the default. */
function isValidAccessToken(?array $row, ?int $expiration): bool
{
    if ($row === null) {
        return false;
    }
    return (! $expiration || gt($row['created_at'], -60 * $expiration))
        && ($row['expires_at'] === null || ! isPast($row['expires_at']));
}

/** Carbon::gt */
function gt(?int $time, int $than): bool
{
    return ($time ?? throw new Error('Call to a member function gt() on null')) > $than;
}

/** Carbon::isPast: strictly before now */
function isPast(int $time): bool
{
    return $time < 0;
}

/** PersonalAccessToken::tokenable: by the morph map, and never one that is soft-deleted. */
function tokenable(array $row): ?array
{
    $state = HOLDERS[$row['holder']][$row['tokenable_type']] ?? 'missing';
    if ($state === 'missing' || $state === 'deleted') {
        return null;
    }
    return ['type' => $row['tokenable_type'], 'state' => $state];
}

/** PersonalAccessToken::can, the column cast as json. It compares loosely: so does this. */
function can(array $row, string $ability): bool
{
    $abilities = $row['abilities'] === null ? null : json_decode($row['abilities'], true);
    return in_array('*', $abilities) || array_key_exists($ability, array_flip($abilities));
}

// --- a request -------------------------------------------------------------------------------------------------

/** Where Laravel throws, nobody gets in. */
function orFalse(callable $ask): bool
{
    try {
        return $ask();
    } catch (Throwable) {
        return false;
    }
}

/** @return array{authenticates: bool, row: ?int, as: ?string, opens_tenant: bool} */
function judge(array $table, string $header, ?int $expiration, bool $withOurs): array
{
    // HTTP leaves off the spaces around a value
    $token = bearerToken(trim($header));
    $row = isValidBearerToken($token) ? findToken($table, $token) : null;
    $isValid = orFalse(static fn () => isValidAccessToken($row, $expiration));
    $tokenable = $isValid ? tokenable($row) : null;
    // ours: users.disabled_at and admins.disabled_at, which Laravel knows nothing of
    if ($withOurs && $tokenable !== null && $tokenable['state'] === 'disabled') {
        $tokenable = null;
    }
    $opens = $tokenable !== null && orFalse(static fn () => can($row, 'tenant'));
    // ours: the Tenant API is for members of a tenant, and those are users
    if ($withOurs && $tokenable !== null && $tokenable['type'] !== USER) {
        $opens = false;
    }
    return [
        'authenticates' => $tokenable !== null,
        // which of the rows it is
        'row' => $tokenable === null ? null : array_search($row, array_values($table), true),
        'as' => match ($tokenable['type'] ?? null) {
            USER => 'user',
            ADMIN => 'admin',
            null => null,
        },
        'opens_tenant' => $opens,
    ];
}

// --- cases -----------------------------------------------------------------------------------------------------

/** Letters and digits that look random and follow from a word. */
function fixed(string $word, int $length = 40): string
{
    $letters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    $text = '';
    for ($block = 0; strlen($text) < $length; $block++) {
        foreach (str_split(hash('sha256', "$word $block", true)) as $byte) {
            $text .= $letters[ord($byte) % 62];
        }
    }
    return substr($text, 0, $length);
}

/** A row as createToken writes it. */
function row(string $secret, array $with = []): array
{
    return array_merge([
        'tokenable_type' => USER,
        'holder' => 'user',
        'name' => 'laravel',
        'token' => hash('sha256', $secret),
        'abilities' => json_encode(['tenant']),
        'expires_at' => null,
        'created_at' => -60,
    ], $with);
}

$vectors = [];

/** {id} and {other_id} in the header stand for the numbers that the rows get. */
function vector(string $name, string $header, array $rows, ?int $expiration = null): void
{
    global $vectors;
    $table = array_combine(array_slice([41, 42], 0, count($rows)), $rows);
    $sent = strtr($header, ['{id}' => '41', '{other_id}' => '42']);
    $result = judge($table, $sent, $expiration, true);
    $vectors[] = [
        'name' => $name,
        // whether a rule of ours makes it another than Laravel's
        'ours' => $result !== judge($table, $sent, $expiration, false),
        'header' => $header,
        'expiration' => $expiration,
        'rows' => $rows,
        ...$result,
    ];
}

/** A token of Sanctum 4 as it is handed out, on a row that differs from the usual one. */
function rowVector(string $name, array $with, ?int $expiration = null): void
{
    $secret = generateTokenString(fixed($name));
    vector($name, "Bearer {id}|$secret", [row($secret, $with)], $expiration);
}

// generations
$entropy = fixed('generations');
$secret = generateTokenString($entropy);
$prefixed = generateTokenString($entropy, 'acme_');
$long = fixed('80 characters', 80);
$wrongCrc = $entropy . '00000000';
vector('Sanctum 4: id, 40 characters, checksum', "Bearer {id}|$secret", [row($secret)]);
vector('Sanctum 4 with a prefix', "Bearer {id}|$prefixed", [row($prefixed)]);
vector('Sanctum 4 with a prefix, which was left off', "Bearer {id}|$secret", [row($prefixed)]);
vector('Sanctum 3: id, 40 characters', "Bearer {id}|$entropy", [row($entropy)]);
vector('Sanctum 2: id, 80 characters', "Bearer {id}|$long", [row($long)]);
vector('Sanctum 1: 80 characters alone', "Bearer $long", [row($long)]);
vector('40 characters alone', "Bearer $entropy", [row($entropy)]);
vector('Sanctum 4 without its id', "Bearer $secret", [row($secret)]);
vector('a token that nobody has', "Bearer {id}|$long", [row($secret)]);
vector('a token without id that nobody has', "Bearer $long", [row($secret)]);
vector('a row of its own made with a wrong checksum', "Bearer {id}|$wrongCrc", [row($wrongCrc)]);
vector('a checksum that was changed', "Bearer {id}|$wrongCrc", [row($secret)]);
vector('a checksum that was left off', "Bearer {id}|$entropy", [row($secret)]);

// secrets
$split = fixed('left', 20) . '|' . fixed('right', 20);
vector('a second | inside the secret', "Bearer {id}|$split", [row($split)]);
vector('only what follows the second |', "Bearer {id}|" . fixed('right', 20), [row($split)]);
vector('a secret that was hashed from the last |', "Bearer {id}|$split", [row(fixed('right', 20))]);
vector('a secret that begins with |', "Bearer {id}||$entropy", [row("|$entropy")]);
vector('a secret that ends with |', "Bearer {id}|$entropy|", [row("$entropy|")]);
vector('a row that was hashed with its id', "Bearer 41|$entropy", [row("41|$entropy")]);
vector('an empty secret', 'Bearer {id}|', [row('')]);
vector('the secret 0', 'Bearer {id}|0', [row('0')]);
vector('the secret 00', 'Bearer {id}|00', [row('00')]);
vector('the token 0', 'Bearer 0', [row('0')]);
vector('the token 00', 'Bearer 00', [row('00')]);
vector('a | alone', 'Bearer |', [row('')]);
vector('a secret of % alone', 'Bearer {id}|%', [row($secret)]);

// ids
$ids = [
    'empty' => '',
    'with letters after it' => '{id}abc',
    'with a space before it' => ' {id}',
    'with a space after it' => '{id} ',
    'with a plus' => '+{id}',
    'negative' => '-{id}',
    'with a point' => '{id}.0',
    'with an exponent' => '{id}e0',
    'hexadecimal' => '0x{id}',
    'with a comma' => '{id},0',
    'with leading zeros' => '000{id}',
    'with so many zeros that it has over 25 digits' => str_repeat('0', 25) . '{id}',
    'of 25 digits' => '1' . str_repeat('0', 24),
    'the largest that there is' => '18446744073709551615',
    'one more than the largest' => '18446744073709551616',
    'zero' => '0',
];
foreach ($ids as $kind => $id) {
    vector("an id: $kind", "Bearer $id|$secret", [row($secret)]);
}
$other = generateTokenString(fixed('other'));
$two = [row($secret), row($other, ['holder' => 'user and admin'])];
vector('one of two rows', "Bearer {id}|$secret", $two);
vector('the other of two rows', "Bearer {other_id}|$other", $two);
vector('the id of another row', "Bearer {other_id}|$secret", $two);

// hashes and case
$hash = hash('sha256', $secret);
vector('the hash for the secret', "Bearer {id}|$hash", [row($secret)]);
vector('the hash in upper case for the secret', 'Bearer {id}|' . strtoupper($hash), [row($secret)]);
vector('the hash for the token', "Bearer $hash", [row($secret)]);
vector('the hash in upper case for the token', 'Bearer ' . strtoupper($hash), [row($secret)]);
vector('a row with its hash in upper case', "Bearer {id}|$secret", [
    row($secret, ['token' => strtoupper($hash)]),
]);
vector('a secret in upper case', 'Bearer {id}|' . strtoupper($secret), [row($secret)]);
vector('a secret in lower case', 'Bearer {id}|' . strtolower($secret), [row($secret)]);
vector('a token in upper case', 'Bearer ' . strtoupper($long), [row($long)]);

// holders
rowVector('a type that is none of ours', ['tokenable_type' => 'App\Models\Device']);
rowVector('a type in lower case', ['tokenable_type' => strtolower(USER)]);
rowVector('a type with a space at its end', ['tokenable_type' => USER . ' ']);
rowVector('the type of an admin in lower case', [
    'tokenable_type' => strtolower(ADMIN),
    'holder' => 'admin',
]);
rowVector('a type by another name', ['tokenable_type' => 'users']);
rowVector('an empty type', ['tokenable_type' => '']);
rowVector('an admin, with the number of a user', ['tokenable_type' => ADMIN]);
rowVector('a user, with the number of an admin', ['holder' => 'admin']);
rowVector('a user, with a number that an admin has too', ['holder' => 'user and admin']);
rowVector('an admin, with a number that a user has too', [
    'tokenable_type' => ADMIN,
    'holder' => 'user and admin',
]);
rowVector('an admin', ['tokenable_type' => ADMIN, 'holder' => 'admin']);
rowVector('an admin that may do everything', [
    'tokenable_type' => ADMIN,
    'holder' => 'admin',
    'abilities' => json_encode(['*']),
]);
rowVector('a deleted user', ['holder' => 'deleted user']);
rowVector('a deleted admin', ['tokenable_type' => ADMIN, 'holder' => 'deleted admin']);
rowVector('a disabled user', ['holder' => 'disabled user']);
rowVector('a disabled admin', ['tokenable_type' => ADMIN, 'holder' => 'disabled admin']);
rowVector('a missing user', ['holder' => 'missing user']);

// abilities: as Laravel writes them, and as a column may hold them
$abilities = [
    null,
    json_encode([]),
    json_encode(['*']),
    json_encode(['tenant']),
    json_encode(['admin']),
    json_encode(['tenant', 'admin']),
    json_encode(['admin', '*']),
    json_encode(['Tenant']),
    json_encode(['tenant ']),
    json_encode(['tenants']),
    json_encode(['tenant:read']),
    json_encode(['tenant:*']),
    json_encode(['a' => 'tenant']),
    json_encode(['a' => '*']),
    json_encode(['tenant' => 'a']),
    json_encode(['tenant' => true]),
    json_encode([true]),
    json_encode([0]),
    json_encode(['tenant', 5]),
    json_encode(['tenant', null]),
    json_encode(['*', null]),
    json_encode([['tenant']]),
    json_encode('tenant'),
    json_encode('*'),
    json_encode(true),
    'null',
    'tenant',
    '*',
    '[ "tenant" ]',
    '["\u0074enant"]',
    '["tenant"',
    '',
];
foreach ($abilities as $text) {
    rowVector('abilities ' . ($text ?? 'that are none'), ['abilities' => $text]);
}

// time
rowVector('expired a second ago', ['expires_at' => -1]);
rowVector('expires now', ['expires_at' => 0]);
rowVector('expires in an hour', ['expires_at' => 3600]);
rowVector('made a year ago', ['created_at' => -31_536_000]);
rowVector('made at no known time', ['created_at' => null]);
rowVector('60 minutes: made a second less ago', ['created_at' => -3599], 60);
rowVector('60 minutes: made as long ago', ['created_at' => -3600], 60);
rowVector('60 minutes: made a second longer ago', ['created_at' => -3601], 60);
rowVector('60 minutes: made in the future', ['created_at' => 60], 60);
rowVector('60 minutes: made at no known time', ['created_at' => null], 60);
rowVector('60 minutes: within, but expired', ['expires_at' => -1], 60);
rowVector('60 minutes: within, and expires later', ['expires_at' => 3600], 60);
rowVector('60 minutes: over, but expires later', ['created_at' => -3601, 'expires_at' => 3600], 60);
rowVector('60 minutes: over, and expired', ['created_at' => -3601, 'expires_at' => -1], 60);

// headers
$headers = [
    'in lower case' => "bearer {id}|$secret",
    'in upper case' => "BEARER {id}|$secret",
    'of another scheme' => "Basic {id}|$secret",
    'without a scheme' => "{id}|$secret",
    'with nothing after the scheme' => 'Bearer',
    'with a tab after the scheme' => "Bearer\t{id}|$secret",
    'without a space after the scheme' => "Bearer{id}|$secret",
    'with words after the token' => "Bearer {id}|$secret and more",
    'with two spaces before a token without id' => "Bearer  $secret",
    'with the scheme twice' => "Bearer Bearer {id}|$secret",
    'with another scheme before it' => "Basic eDp5, Bearer {id}|$secret",
    'with letters before the scheme' => "XBearer {id}|$secret",
    'with a comma after the token' => "Bearer {id}|$secret, Basic eDp5",
];
foreach ($headers as $kind => $header) {
    vector("a header $kind", $header, [row($secret)]);
}

// --- writing ---------------------------------------------------------------------------------------------------

/** The first of the fixed texts whose checksum begins so. */
function withChecksum(string $start): string
{
    for ($number = 0; ; $number++) {
        $entropy = fixed("checksum $start $number");
        if (str_starts_with(hash('crc32b', $entropy), $start)) {
            return $entropy;
        }
    }
}

$writing = array_map(static fn (string $entropy) => [
    'random' => $entropy,
    'crc32b' => hash('crc32b', $entropy),
    'secret' => generateTokenString($entropy),
    'sha256' => hash('sha256', generateTokenString($entropy)),
], [
    fixed('writing'),
    str_repeat('0', 40),
    str_repeat('z', 40),
    // of eight digits each, also where they begin with zeros, and where their highest bit is set
    withChecksum('0'),
    withChecksum('00'),
    withChecksum('000'),
    withChecksum('8'),
    withChecksum('ff'),
]);

$document = ['vectors' => $vectors, 'writing' => $writing];

echo json_encode(
    $document,
    JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR,
), "\n";
