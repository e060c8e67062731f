#include "keles/store_holder.h"

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "machinery/codec_json.h"
#include "net/address.h"
#include "net/pki.h"

namespace keles {
namespace {

constexpr const char* kStorePath = "/keles/store";
constexpr const char* kSecretFile = "/keles-store-secret";
constexpr size_t kMaxAnnouncement = 16384;

class Holder final : public StoreHolder {
 public:
  Holder(std::string directory, std::string secret)
      : directory_(std::move(directory)), secret_(std::move(secret)) {}

  Status serve(Loop& loop, const ClientUrl& where) {
    net::ServerOptions o;
    o.address = where.host;
    o.port = where.port;
    o.max_body_bytes = 0;
    TRY_ASSIGN(server, net::Server::start({&loop}, o,
                                          [this](Context ctx, net::Request* q, net::Responder* r) {
                                            return answer(ctx, q, r);
                                          }));
    server_ = std::move(server);
    return Status();
  }
  Task<void> stop(Context ctx) override { co_await server_->stop(ctx); }

 private:
  Task<void> answer(Context ctx, net::Request* q, net::Responder* r) {
    int status = 200;
    std::string body;
    if (q->path == "/health" || q->path == "/livez" || q->path == "/readyz") {
      auto there = read_file(directory_ + kSecretFile);
      const bool fine = there.ok() && *there == secret_;
      status = fine ? 200 : 503;
      body = fine ? R"({"health":"true","reason":""})"
                  : R"({"health":"false","reason":"the data directory has gone"})";
    } else if (q->path == "/version") {
      body =
          std::string(R"({"etcdserver":"keles )") + kKelesVersion + R"(","etcdcluster":"keles"})";
    } else if (q->path == kStorePath) {
      co_await hold(ctx, r);
      co_return;
    } else {
      status = 404;
      body = "404 page not found\n";
    }
    net::Headers h{{"Content-Type", "application/json"}};
    auto parts = net::as_body(std::move(body));
    (void)co_await r->respond(status, std::move(h), std::move(parts));
  }

  // One line, and then nothing until either side ends.
  Task<void> hold(Context ctx, net::Responder* r) {
    std::string line = "{\"directory\":";
    write_json_string(line, directory_);
    line += ",\"secret\":";
    write_json_string(line, secret_);
    line += "}\n";
    net::Headers h{{"Content-Type", "application/json"}};
    Status s = co_await r->begin(200, std::move(h));
    if (!s.ok()) co_return;
    auto parts = net::as_body(std::move(line));
    s = co_await r->write(std::move(parts));
    if (!s.ok()) co_return;
    Event never;
    (void)co_await never.wait(ctx);
  }

  std::string directory_, secret_;
  std::unique_ptr<net::Server> server_;
};

class Held final : public HeldStore {
 public:
  Held(std::string directory, std::unique_ptr<net::HttpClient> client,
       std::unique_ptr<net::ResponseStream> stream)
      : directory_(std::move(directory)), client_(std::move(client)), stream_(std::move(stream)) {}
  ~Held() override {
    stream_.reset();
    client_->close();
  }
  const std::string& directory() const override { return directory_; }
  Task<void> gone(Context ctx) override {
    for (;;) {
      auto piece = co_await stream_->read(ctx);
      if (!piece.ok() || piece->empty()) co_return;
    }
  }

 private:
  std::string directory_;
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<net::ResponseStream> stream_;
};

// The directory that an announcement names, once it is proved to be the one that is meant.
Result<std::string> proved_directory(const std::string& announcement) {
  auto said = parse_json(announcement);
  if (!said.ok() || said->root["directory"].as_string().empty()) {
    return Status::bad_request("it names no data directory");
  }
  std::string directory(said->root["directory"].as_string());
  auto secret = read_file(directory + kSecretFile, kMaxAnnouncement);
  if (!secret.ok()) return secret.status();
  if (!net::equal_in_constant_time(*secret, said->root["secret"].as_string())) {
    return Status::bad_request("the data directory " + directory + " is not its own");
  }
  return directory;
}

Task<Result<std::unique_ptr<HeldStore>>> open_once(Context ctx, ClientUrl where) {
  net::Endpoint e;
  e.host = where.host;
  e.port = where.port;
  auto client = net::HttpClient::create(ctx.loop(), e);
  net::Request request("GET", kStorePath);
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) {
    client->close();
    co_return stream.status();
  }
  std::string line;
  while ((*stream)->status() == 200 && line.find('\n') == line.npos &&
         line.size() < kMaxAnnouncement) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    line += *piece;
  }
  Result<std::string> directory =
      (*stream)->status() == 200
          ? proved_directory(line)
          : Status::bad_request("it is no etcd of keles: start the `etcd` that is keles's own");
  if (!directory.ok()) {
    stream->reset();
    client->close();
    co_return directory.status();
  }
  co_return std::unique_ptr<HeldStore>(
      std::make_unique<Held>(std::move(*directory), std::move(client), std::move(*stream)));
}

}  // namespace

std::string ClientUrl::text() const {
  return "http://" + (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(port);
}

Result<ClientUrl> parse_client_url(const std::string& flag, const std::string& text) {
  auto bad = [&](const std::string& why) {
    return Status::bad_request("--" + flag + ": \"" + text + "\": " + why);
  };
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return bad("want http://ADDRESS:PORT");
  std::string rest = text.substr(kScheme.size());
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  const size_t colon = rest.rfind(':');
  auto port = colon == std::string::npos ? std::nullopt : net::parse_port(rest.substr(colon + 1));
  if (!port) return bad("it names no port");
  ClientUrl out{rest.substr(0, colon), *port};
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  if (out.host == "localhost") out.host = "127.0.0.1";
  if (!IpAddress::parse(out.host)) return bad("want an IP address or localhost");
  return out;
}

Result<std::unique_ptr<StoreHolder>> StoreHolder::start(Loop& loop, std::string directory,
                                                        ClientUrl where) {
  TRY(make_directories(directory, 0700));
  std::string secret = net::hex(net::random_bytes(16));
  TRY(write_file(directory + kSecretFile, secret, 0600));
  auto holder = std::make_unique<Holder>(std::move(directory), std::move(secret));
  TRY(holder->serve(loop, where));
  return std::unique_ptr<StoreHolder>(std::move(holder));
}

Task<Result<std::unique_ptr<HeldStore>>> HeldStore::open(Context ctx, ClientUrl where) {
  constexpr Duration kAgain = 50ms;
  for (;;) {
    auto held = co_await open_once(ctx, where);
    if (held.ok() || held.status().is(Reason::kBadRequest)) co_return held;
    Status slept = co_await ctx.sleep(kAgain);
    if (!slept.ok()) co_return held;
  }
}

}  // namespace keles
