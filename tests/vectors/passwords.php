<?php

declare(strict_types=1);

/*
 * Password hashes in PHP, as JSON.
 *
 *   php tests/vectors/passwords.php make                 hashes by password_hash; other salts each time
 *   php tests/vectors/passwords.php judge < pairs.json   what Laravel says of [{password, hash}, …]
 *
 * The classes follow Illuminate\Hashing\{Bcrypt,Argon,Argon2Id}Hasher of Laravel 12 with the defaults of
 * config/hashing.php; `verify` is on by default since Laravel 11.
 * `npx tsx tests/vectors/write-passwords.ts` writes passwords.json by both.
 */

abstract class Hasher
{
    abstract public function needsRehash(string $hash): bool;

    abstract protected function algorithm(): string;

    public function check(string $value, string $hash): bool
    {
        if ($hash === '') {
            return false;
        }
        if ($this->info($hash)['algoName'] !== $this->algorithm()) {
            throw new RuntimeException('This password does not use the right algorithm.');
        }
        return password_verify($value, $hash);
    }

    public function info(string $hash): array
    {
        return password_get_info($hash);
    }
}

final class BcryptHasher extends Hasher
{
    public function needsRehash(string $hash): bool
    {
        return password_needs_rehash($hash, PASSWORD_BCRYPT, ['cost' => 12]);
    }

    protected function algorithm(): string
    {
        return 'bcrypt';
    }
}

class ArgonHasher extends Hasher
{
    protected const OPTIONS = ['memory_cost' => 65536, 'time_cost' => 4, 'threads' => 1];

    public function needsRehash(string $hash): bool
    {
        return password_needs_rehash($hash, PASSWORD_ARGON2I, self::OPTIONS);
    }

    protected function algorithm(): string
    {
        return 'argon2i';
    }
}

final class Argon2IdHasher extends ArgonHasher
{
    public function needsRehash(string $hash): bool
    {
        return password_needs_rehash($hash, PASSWORD_ARGON2ID, self::OPTIONS);
    }

    protected function algorithm(): string
    {
        return 'argon2id';
    }
}

/** What each of Laravel's drivers does with a login by that password. */
function judge(string $password, string $hash): array
{
    $hashers = [
        'bcrypt' => new BcryptHasher(),
        'argon2i' => new ArgonHasher(),
        'argon2id' => new Argon2IdHasher(),
    ];
    return array_map(static function (Hasher $hasher) use ($password, $hash): string {
        try {
            if (! $hasher->check($password, $hash)) {
                return 'refuses';
            }
        } catch (RuntimeException) {
            return 'throws';
        }
        return $hasher->needsRehash($hash) ? 'accepts, and rehashes' : 'accepts';
    }, $hashers);
}

$made = [
    'correct horse battery staple' => [
        [PASSWORD_BCRYPT, ['cost' => 10]],
        [PASSWORD_BCRYPT, ['cost' => 12]],
        [PASSWORD_BCRYPT, ['cost' => 13]],
        [PASSWORD_ARGON2I, []],
        [PASSWORD_ARGON2ID, []],
        [PASSWORD_ARGON2ID, ['memory_cost' => 1024, 'time_cost' => 2, 'threads' => 2]],
    ],
    'Grüße, 世界' => [[PASSWORD_BCRYPT, ['cost' => 10]], [PASSWORD_ARGON2I, []], [PASSWORD_ARGON2ID, []]],
    // bcrypt reads 72 bytes
    str_repeat('0123456789', 8) => [[PASSWORD_BCRYPT, ['cost' => 10]], [PASSWORD_ARGON2ID, []]],
];

$flags = JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR;

$output = [];
if (($argv[1] ?? '') === 'judge') {
    $pairs = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
    foreach ($pairs as ['password' => $password, 'hash' => $hash]) {
        $output[] = judge($password, $hash);
    }
} else {
    foreach ($made as $password => $ways) {
        foreach ($ways as [$algorithm, $options]) {
            $output[] = ['password' => $password, 'hash' => password_hash($password, $algorithm, $options)];
        }
    }
}
echo json_encode($output, $flags), "\n";
