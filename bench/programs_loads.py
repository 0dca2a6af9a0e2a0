"""The workloads of bench/programs: for each program some seconds of CPU on data made on the spot.

A load is a function of a Work (bench/programs) that prepares its files in the work folder and returns the shell script to be
profiled. Preparing is not profiled. Everything random comes from one fixed seed, so two runs do the same work.
"""
import random
import textwrap

LOADS = []
SEED = 20240229


class Load:
    """One row of the table. binary: what must be in PATH; packages: Debian's names, the first one gives the version."""
    def __init__(self, name, binary, packages, prepare):
        self.name, self.binary, self.packages, self.prepare = name, binary, packages.split(), prepare


def load(name, packages, binary=None):
    def add(prepare):
        LOADS.append(Load(name, binary or name, packages, prepare))
        return prepare
    return add


def script(text):
    return textwrap.dedent(text).lstrip("\n")


# ---- Data ----

def words(count, seed=SEED):
    """Words with a frequency like a language's: few are common."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(rng.choices(letters, weights=range(52, 0, -2), k=rng.randint(2, 9))) for _ in range(20000)]
    return rng.choices(vocabulary, weights=[1 / (rank + 3) for rank in range(len(vocabulary))], k=count)


def prose(megabytes, seed=SEED):
    """Lines of 12 words, about 5.5 bytes each."""
    all_words = words(megabytes * 180000, seed)
    return "".join(" ".join(all_words[i:i + 12]) + "\n" for i in range(0, len(all_words), 12))


def c_source(functions):
    """A C file of many functions with loops, switches and structs, for the compilers."""
    rng = random.Random(SEED)
    parts = ["#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\nstruct node { int key, kind; double weight; struct node *next; };\n"]
    for i in range(functions):
        cases = "".join(f"\t\tcase {n}: sum += at->key {rng.choice('+-*^|&')} {rng.randint(1, 999)}; "
                        f"at->weight {rng.choice('+-*')}= {rng.randint(1, 99)}.5; break;\n" for n in range(rng.randint(4, 12)))
        call = f"sum += f{rng.randrange(i)}(head, n - 1);" if i else "sum++;"
        parts.append(f"""int f{i}(struct node *head, int n)
{{
	int sum = {i}, table[{rng.randint(8, 64)}];
	memset(table, n, sizeof(table));
	for (struct node *at = head; at; at = at->next) {{
		switch (at->kind % 16) {{
{cases}		default: if (n > 0) {call}
		}}
		for (unsigned k = 0; k < sizeof(table) / sizeof(table[0]); k++)
			table[k] = table[k] * sum + table[(k * {rng.randint(3, 7)}u) % (sizeof(table) / sizeof(table[0]))];
	}}
	char text[32];
	snprintf(text, sizeof(text), "%d %d", sum, table[{rng.randrange(8)}]);
	return sum + (int)strlen(text);
}}
""")
    return "".join(parts)


# ---- Compilers, assembler, linker ----

@load("gcc", "gcc-12 gcc libc6-dev")
def _(w):
    w.write("many.c", c_source(330))
    return "gcc -O2 -c many.c"


@load("g++", "g++-12 g++ libc6-dev")
def _(w):
    w.write("many.cc", "#include <regex>\n#include <map>\n#include <string>\n#include <algorithm>\n#include <vector>\n" + "".join(
        f"struct k{i} {{ int a; bool operator<(const k{i} &o) const {{ return a < o.a; }} }};\n"
        f"int g{i}(int n) {{ std::map<k{i}, std::vector<std::string>> m; for (int j = 0; j < n; j++) m[k{i}{{j}}].push_back(std::to_string(j));\n"
        f"std::vector<k{i}> v; for (auto &p : m) v.push_back(p.first); std::sort(v.rbegin(), v.rend()); return v[0].a; }}\n" for i in range(11)) +
        "bool r(const std::string &s) { return std::regex_match(s, std::regex(\"a*b\")); }\n")
    return "g++ -O2 -c many.cc"


@load("clang", "clang-14 clang libc6-dev")
def _(w):
    w.write("many.c", c_source(360))
    return "clang -O2 -c many.c"


@load("rustc", "rustc gcc libc6-dev")
def _(w):
    w.write("many.rs", "use std::collections::HashMap;\n" + "".join(script(f"""
        #[derive(Clone, Debug, PartialEq)]
        pub struct K{i} {{ a: u64, b: String }}
        pub fn f{i}(n: u64) -> u64 {{
            let mut map: HashMap<String, Vec<K{i}>> = HashMap::new();
            for k in 0..n {{ map.entry(format!("{{}}", k % {i + 3})).or_default().push(K{i} {{ a: k, b: k.to_string() }}); }}
            map.values().flat_map(|v| v.iter()).filter(|k| k.b.len() > 1).map(|k| k.a ^ {i}).sum()
        }}
        """) for i in range(20)) + "fn main() {\n" + "".join(f"    println!(\"{{}}\", f{i}(100));\n" for i in range(20)) + "}\n")
    return "rustc -O many.rs"


GO = "GO111MODULE=off GOTOOLCHAIN=local GOFLAGS= CGO_ENABLED=0 GOCACHE=$PWD/cache GOPATH=$PWD/path go build"


@load("go-build", "golang-1.19-go golang-go", "go")
def _(w):
    w.copy("main.go")
    return f"{GO} -a -o main main.go"


@load("go-program", "golang-1.19-go golang-go", "go")
def _(w):
    w.copy("main.go")
    w.run(f"{GO} -o main main.go")
    return "./main"


@load("ld", "binutils")
def _(w):
    objects = 60
    rng = random.Random(SEED)
    for i in range(objects):
        w.write(f"o{i}.s", ".text\n" + "".join(
            f".globl a_function_of_object_{i}_number_{k}\na_function_of_object_{i}_number_{k}:\n"
            f"call a_function_of_object_{rng.randrange(objects)}_number_{rng.randrange(3000)}\nret\n" for k in range(3000)))
    w.run("for s in o*.s; do as -o ${s%.s}.o $s; done")
    return "for i in 1 2 3 4 5; do ld -e a_function_of_object_0_number_0 -o out o*.o; ld -shared -o out.so o*.o; done"


# ---- Interpreters and virtual machines ----

@load("python3", "python3")
def _(w):
    w.copy("load.py")
    return "python3 load.py"


@load("numpy", "python3-numpy libopenblas0-pthread", "python3")
def _(w):
    w.copy("matrices.py")
    return "python3 matrices.py"


@load("perl", "perl")
def _(w):
    return (f"perl -e 'my %n; my @l; while (<>) {{ chomp; push @l, join(\" \", reverse split / /); $n{{lc $1}}++ while /([aeiou]\\w+?)[st]/g; "
            f"s/(\\w+)/\\u$1/g; }} print scalar(keys %n), \"\\n\"; print length(join \"\", sort {{ $a cmp $b }} @l), \"\\n\";' {w.text(24)}")


@load("ruby", "ruby3.1 ruby")
def _(w):
    w.copy("load.rb")
    return "ruby load.rb"


@load("php", "php8.2-cli php-cli")
def _(w):
    w.copy("load.php")
    return "php -n load.php"


@load("php-jit", "php8.2-opcache php-cli", "php")
def _(w):
    w.copy("jit.php")
    return "php -n -d zend_extension=opcache.so -d opcache.enable_cli=1 -d opcache.jit_buffer_size=64M -d opcache.file_update_protection=0 -d opcache.jit=tracing jit.php"


@load("lua", "lua5.4", "lua5.4")
def _(w):
    w.copy("load.lua")
    return "lua5.4 load.lua 32"


@load("luajit", "luajit")
def _(w):
    w.copy("load.lua")
    return "luajit load.lua 60"


@load("node", "nodejs")
def _(w):
    w.copy("load.js")
    return "node load.js"


@load("java", "openjdk-17-jdk-headless")
def _(w):
    w.copy("Load.java")
    return "java -Xmx512m Load.java"


@load("guile", "guile-3.0", "guile")
def _(w):
    w.copy("load.scm")
    return "guile load.scm"


@load("sbcl", "sbcl")
def _(w):
    w.copy("load.lisp")
    return "sbcl --script load.lisp"


@load("ocaml", "ocaml-nox gcc libc6-dev", "ocamlopt")
def _(w):
    w.copy("load.ml")
    w.run("ocamlopt -o load load.ml")
    return "./load"


@load("erlang", "erlang-base", "erl")
def _(w):
    w.copy("load.erl")
    w.run("erlc load.erl")
    return "erl -noshell -s load main"


@load("r", "r-base-core", "Rscript")
def _(w):
    w.copy("load.R")
    return "Rscript --vanilla load.R"


@load("bash", "bash")
def _(w):
    return "bash -c 'declare -A n; for ((i = 0; i < 700000; i++)); do k=$((i * 7919 % 10007)); n[$k]+=x; s=${k//7/seven}; [[ $s == *n*n* ]] && t=$((t + 1)); done; echo $t ${#n[@]}'"


@load("bc", "bc")
def _(w):
    return "echo 'scale=1500; for (i = 1; i < 4; i++) { 4*a(1/i); e(i/7) }' | bc -l"


@load("jq", "jq")
def _(w):
    rng = random.Random(SEED)
    w.write("in.json", "[" + ",\n".join(f'{{"id": {i}, "name": "{word}", "group": {rng.randrange(500)}, "tags": ["{word[:2]}", "{word[-2:]}"]}}'
                                        for i, word in enumerate(words(200000))) + "]")
    return "jq 'group_by(.group) | map({group: .[0].group, n: length, names: (map(.name | ascii_upcase) | unique | length)})' in.json"


# ---- Databases and servers: private data, a socket in the work folder or a free loopback port ----

@load("sqlite3", "sqlite3")
def _(w):
    w.copy("load.sql")
    return "sqlite3 t.db < load.sql"


@load("postgres", "postgresql-15 postgresql-client-15")
def _(w):
    w.folder_of("nobody", "pg")
    as_nobody = "setpriv --reuid nobody --regid nogroup --clear-groups env HOME=$PWD/pg"
    w.run(f"cd pg; {as_nobody} initdb -D data -A trust -N >/dev/null")
    pg = "-h $PWD/pg -U nobody"
    return script(f"""
        {as_nobody} postgres -D $PWD/pg/data -k $PWD/pg -c listen_addresses= -c fsync=off & server=$!
        until pg_isready -q {pg}; do sleep 0.1; done
        pgbench {pg} -i -q -s 5 postgres
        pgbench {pg} -T 2 -c 4 -S postgres
        pgbench {pg} -T 1 -c 4 postgres
        psql {pg} -c 'select aid % 1000 g, count(*), sum(abalance), max(md5(filler || aid)) from pgbench_accounts group by g order by 2 desc' postgres
        kill -INT $server; wait $server || true
        """)


@load("redis", "redis-server redis-tools", "redis-server")
def _(w):
    return script("""
        redis-server --port 0 --unixsocket $PWD/redis.sock --save '' --appendonly no --dir $PWD & server=$!
        until redis-cli -s redis.sock ping; do sleep 0.1; done
        redis-benchmark -s redis.sock -q -n 80000 -P 8 -r 100000 -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_300
        redis-cli -s redis.sock eval "local n = 0 for i = 1, 300000 do redis.call('zadd', 'z', i % 977, i) n = n + #tostring(i) end return n" 0
        redis-cli -s redis.sock shutdown nosave || true; wait $server || true
        """)


@load("mariadb", "mariadb-server-core mariadb-client", "mariadbd")
def _(w):
    w.folder_of("nobody", "my")
    w.run("TMPDIR=$PWD/my mariadb-install-db --no-defaults --user=nobody --datadir=$PWD/my/data --auth-root-authentication-method=normal --skip-test-db")
    my = "--no-defaults -u root -S $PWD/my/sock"
    return script(f"""
        mariadbd --no-defaults --user=nobody --datadir=$PWD/my/data --socket=$PWD/my/sock --pid-file=$PWD/my/pid --skip-networking --tmpdir=$PWD/my \\
            --innodb-flush-log-at-trx-commit=0 & server=$!
        until mariadb-admin {my} ping; do sleep 0.2; done
        mariadb-slap {my} --auto-generate-sql --auto-generate-sql-load-type=mixed --concurrency=4 --number-of-queries=5000 --number-char-cols=4
        mariadb {my} -e "select count(*), max(md5(a.seq * b.seq)) from seq_1_to_1500 a, seq_1_to_700 b where (a.seq ^ b.seq) % 3" mysql
        kill $server; wait $server
        """)


@load("nginx", "nginx-light apache2-utils wrk openssl", "nginx")
def _(w):
    plain, tls = w.free_port(), w.free_port()
    w.write("page.txt", prose(1)[:60000])
    w.run("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem -days 30")
    w.write("nginx.conf", script(f"""
        daemon off; user nobody nogroup; worker_processes 1; pid nginx.pid; error_log error.log;
        events {{ worker_connections 256; }}
        http {{
            access_log off; gzip on; gzip_types text/plain; default_type text/plain;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {{
                listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; root .;
                location / {{ }}
            }}
        }}
        """))
    return script(f"""
        nginx -p $PWD -c $PWD/nginx.conf & server=$!
        sleep 0.5
        ab -q -n 20000 -c 8 http://127.0.0.1:{plain}/page.txt
        ab -q -n 400 -c 4 https://127.0.0.1:{tls}/page.txt
        wrk -t 1 -c 8 -d 2s -H 'Accept-Encoding: gzip' http://127.0.0.1:{plain}/page.txt
        wrk -t 1 -c 8 -d 1s https://127.0.0.1:{tls}/page.txt
        kill $server; wait $server
        """)


# ---- Cryptography ----

def openssl(name, arguments):
    load(f"openssl-{name}", "openssl", "openssl")(lambda w: f"openssl speed {arguments}")


openssl("rsa2048", "-seconds 2 rsa2048")
openssl("ed25519", "-seconds 2 ed25519")
openssl("ecdsap256", "-seconds 2 ecdsap256")
openssl("aes-gcm", "-seconds 3 -bytes 8192 -evp aes-256-gcm")
openssl("chacha20", "-seconds 3 -bytes 8192 -evp chacha20-poly1305")
openssl("sha256", "-seconds 3 -bytes 8192 -evp sha256")
openssl("sha512", "-seconds 3 -bytes 8192 -evp sha512")


@load("gpg", "gpg gpg-agent gpgconf")
def _(w):
    w.run("mkdir -m 700 home")
    gpg = "gpg --homedir $PWD/home --batch --yes -q --pinentry-mode loopback --passphrase ''"
    return script(f"""
        for i in 1 2 3; do {gpg} --quick-gen-key a$i@localhost default default never; done
        for i in 1 2; do {gpg} -z 6 -o out.gpg --sign --encrypt --no-auto-key-locate -r a1@localhost {w.text(24)}; {gpg} -o plain -d out.gpg; done
        gpg --print-md SHA3-512 < {w.text(24)} || gpg --print-md SHA512 < {w.text(24)}
        gpgconf --homedir $PWD/home --kill all
        """)


# ---- Compression ----

@load("gzip", "gzip")
def _(w):
    return f"gzip -9c {w.text(24)} > t.gz; gzip -1c {w.text(24)}; for i in 1 2 3 4 5 6; do gzip -dc t.gz; done"


@load("bzip2", "bzip2")
def _(w):
    return f"bzip2 -9c {w.text(24)} > t.bz2; bzip2 -dc t.bz2"


@load("xz", "xz-utils")
def _(w):
    return f"head -c 10000000 {w.text(24)} | xz -6c > t.xz; xz -dc t.xz"


@load("zstd", "zstd")
def _(w):
    return f"zstd -q -13 -c {w.text(24)} > t.zst; zstd -q -T2 -5 -c {w.text(24)} > t5.zst; for i in 1 2 3 4 5 6 7 8; do zstd -q -dc t.zst; done"


@load("brotli", "brotli")
def _(w):
    return f"brotli -q 8 -c {w.text(24)} > t.br; for i in 1 2 3 4; do brotli -dc t.br; done"


@load("lz4", "lz4")
def _(w):
    return f"lz4 -q -9 -c {w.text(24)} > t.lz4; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do lz4 -q -dc t.lz4; lz4 -q -1 -c {w.text(24)}; done"


@load("7z", "p7zip-full", "7z")
def _(w):
    return f"head -c 8000000 {w.text(24)} > t; 7z a -bd -mx=5 t.7z t; 7z a -bd -tzip -ptest -mem=AES256 t.zip t; 7z t -bd t.7z"


# ---- Media and documents ----

@load("ffmpeg-encode", "ffmpeg", "ffmpeg")
def _(w):
    return "ffmpeg -v error -f lavfi -i testsrc2=size=640x360:rate=30 -t 24 -c:v libx264 -preset medium out.mkv"


@load("ffmpeg-decode", "ffmpeg", "ffmpeg")
def _(w):
    w.run("ffmpeg -v error -f lavfi -i testsrc2=size=1280x720:rate=30 -t 40 -c:v libx264 -preset ultrafast -c:a aac in.mkv")
    return "ffmpeg -v error -i in.mkv -f null -; ffmpeg -v error -i in.mkv -vf scale=640:360 -f null -"


@load("imagemagick", "imagemagick", "convert-im6.q16")
def _(w):
    return ("convert-im6.q16 -seed 1 -size 1400x1000 plasma:red-blue -blur 0x6 -resize 150% -sharpen 0x2 -rotate 13 -quality 90 a.jpg; "
            "convert-im6.q16 a.jpg -colors 64 -edge 2 b.png")


@load("chromium", "chromium fonts-dejavu-core")
def _(w):
    w.copy("page.html")
    return ("chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking --window-size=1200,4000 "
            "--user-data-dir=$PWD/profile --screenshot=$PWD/page.png file://$PWD/page.html; test -s page.png")


@load("libreoffice", "libreoffice-calc-nogui fonts-dejavu-core", "soffice")
def _(w):
    rng = random.Random(SEED)
    w.write("table.csv", "".join(f"{i},{word},{rng.random()},=A{i + 1}*C{i + 1},=SUM(C1:C{i % 90 + 1})\n" for i, word in enumerate(words(12000))))
    return ("soffice --headless --norestore -env:UserInstallation=file://$PWD/profile --convert-to ods table.csv; test -s table.ods; "
            "soffice --headless --norestore -env:UserInstallation=file://$PWD/profile --convert-to xlsx table.ods; test -s table.xlsx")


# ---- Text and files ----

@load("git", "git")
def _(w):
    rng = random.Random(SEED)
    lines = {f"src/file{i}.txt": words(400, SEED + i) for i in range(60)}
    stream = []
    for commit in range(3000):
        stream.append(f"commit refs/heads/main\ncommitter A <a@localhost> {1700000000 + commit} +0000\ndata 10\ncommit {commit % 1000:03}\n")
        for path in rng.sample(sorted(lines), 3):
            lines[path][rng.randrange(400)] = f"changed{commit}"
            text = "\n".join(lines[path]) + "\n"
            stream.append(f"M 644 inline {path}\ndata {len(text)}\n{text}\n")
    w.write("stream", "".join(stream))
    w.run("git init -q -b main repo; git -C repo fast-import --quiet < stream; git -C repo reset -q --hard")
    return "cd repo; git gc -q --aggressive --prune=now; git log -p --stat -M > log; git blame src/file1.txt; git log -Schanged7 --oneline; git grep -c change; git fsck"


@load("sort", "coreutils")
def _(w):
    return f"sort {w.text(24)} > sorted; sort -f -k3,3 {w.text(24)}; sort -R {w.text(8)}; sort -g -k2 sorted; LC_ALL=C sort -k2,2 -k1,1r {w.text(24)} | uniq -c | sort -rn | head; tr a-z A-Z < {w.text(24)} | wc -w; sha256sum {w.text(24)}; md5sum {w.text(24)}"


@load("grep", "grep")
def _(w):
    return f"for i in 1 2 3 4 5 6 7 8; do grep -cE '([aeiou])[a-z]+\\1 .*(st|th)o?e$' {w.text(24)}; grep -ciP '(\\w)\\1\\w*(?=s )' {w.text(24)}; grep -c -w -e the -e teh -e het {w.text(24)}; done"


@load("sed", "sed")
def _(w):
    return f"sed -E 's/([a-z]+) ([a-z]+)/\\2 \\1/g; /e$/d; y/abc/xyz/' {w.text(24)} > out; sed -n 's/^t.*s$/&&/p' {w.text(24)}"


@load("gawk", "gawk")
def _(w):
    return f"for i in 1 2 3; do gawk '{{ for (i = 1; i <= NF; i++) n[$i]++; if (match($0, /[st]e+n/)) m += RSTART; gsub(/a/, \"bb\"); l += length($0) }} END {{ for (k in n) s += n[k]; print s, m, l }}' {w.text(24)}; done"


@load("mawk", "mawk")
def _(w):
    return f"for i in 1 2 3 4 5 6; do mawk '{{ for (i = 1; i <= NF; i++) n[$i]++; if (match($0, /[st]e+n/)) m += RSTART; gsub(/a/, \"bb\"); l += length($0) }} END {{ for (k in n) s += n[k]; print s, m, l }}' {w.text(24)}; done"


@load("find", "findutils")
def _(w):
    w.run("for i in $(seq 150); do mkdir -p d/$i/x; for k in $(seq 40); do : > d/$i/x/f$k.c; done; done")
    return "for i in $(seq 240); do find d -name '*[13579].c' -newer d/1 -size 0 -printf '%p %s %T@\\n'; find d -regex '.*/f[0-9]*3\\.c' -o -type d -empty; done"


@load("tar", "tar")
def _(w):
    w.run("for i in $(seq 150); do mkdir -p d/$i/x; for k in $(seq 40); do echo $i $k > d/$i/x/f$k.c; done; done")
    return "for i in $(seq 70); do tar -cf d.tar d; tar -tvf d.tar; tar -df d.tar; done"


# ---- Odd kinds of binaries ----

@load("qemu", "qemu-system-x86", "qemu-system-x86_64")
def _(w):
    # Real mode at 7c00, ecx times: ebx = rol(ebx + ecx, 3) ^ ecx, stored at 8000; sin(pi); a byte from the clock's port 71h.
    # Then 10h to the exit device, which makes status 33.
    rounds = 20_000_000
    code = (b"\x31\xdb\x66\xb9" + rounds.to_bytes(4, "little") + b"\x66\x01\xcb\x66\xc1\xc3\x03\x66\x31\xcb\x66\x89\x1e\x00\x80"
            b"\xd9\xeb\xd9\xfe\xdd\xd8\xe4\x71\x66\x49\x75\xe5\xb0\x10\xe6\xf4\xf4\xeb\xfd")
    w.write("boot.img", code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    return ("qemu-system-x86_64 -accel tcg -m 32 -nodefaults -display none -device isa-debug-exit,iobase=0xf4,iosize=1 "
            "-drive file=boot.img,format=raw,if=ide || test $? = 33")


@load("busybox-static", "busybox-static", "busybox")
def _(w):
    return script(f"""
        busybox sort {w.text(8)} > sorted; busybox gzip -c {w.text(8)} > t.gz; busybox gunzip -c t.gz; busybox sha256sum {w.text(24)}
        busybox awk '{{ for (i = 1; i <= NF; i++) n[$i]++ }} END {{ for (k in n) s += n[k]; print s }}' {w.text(8)}
        busybox sed 's/the/THE/g' {w.text(8)}; busybox bzip2 -c sorted > t.bz2; busybox bunzip2 -c t.bz2
        """)


@load("valgrind", "valgrind")
def _(w):
    return f"valgrind -q sort -o sorted {w.text(8)}; valgrind -q --tool=callgrind --callgrind-out-file=cg grep -c 'a.*e$' {w.text(8)}"


def c_program(name, packages, binary, build):
    def prepare(w):
        w.copy("load.c")
        w.run(f"{build} -o load load.c -lm")
        return "./load"
    load(name, packages, binary)(prepare)


c_program("c-dynamic", "libc6-dev gcc", "gcc", "gcc -O2")
c_program("c-static", "libc6-dev gcc", "gcc", "gcc -O2 -static")
c_program("c-static-pie", "libc6-dev gcc", "gcc", "gcc -O2 -static-pie")
c_program("musl-dynamic", "musl-tools gcc", "musl-gcc", "musl-gcc -O2")
c_program("musl-static", "musl-tools gcc", "musl-gcc", "musl-gcc -O2 -static")
