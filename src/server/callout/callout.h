// HTTPS calls to those whom objects of the cluster name: webhooks, by URL or by Service
// (WebhookClientConfig). Texts of errors are those of upstream's client, as users read them behind
// `failed calling webhook "x": failed to call webhook: `.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/context.h"
#include "base/ip.h"
#include "base/loop.h"
#include "base/random.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/value.h"
#include "net/address.h"
#include "net/http.h"
#include "store/store.h"

namespace keles::net {
struct TlsConnection;
}  // namespace keles::net

namespace keles::callout {

struct ServicePlace {
  std::string host;  // an address or a name
  uint16_t port = 0;
};

// Where a service of the cluster is just now. Any thread.
using FindService = std::function<Result<ServicePlace>(
    const std::string& ns, const std::string& name, int64_t port, Random& random)>;
// By the store's newest state, as relays find it. The store outlives it.
FindService services_of(Store* store);

// A connection to a host, with what was agreed on it: the simulator's network.
using Dial = std::function<Task<Result<net::TlsConnection>>(Context, std::string host, uint16_t)>;

// What the server shows of itself to one that it calls.
struct Credentials {
  std::optional<net::TlsIdentity> identity;
  std::string authorization;  // the field of that name; "": none
  std::string token_file;     // a bearer token, read anew for each call; "": none
};
// By where it is called: "host:port". Any thread.
using CredentialsFor = std::function<Credentials(const std::string& authority)>;

struct Options {
  FindService find_service;
  CredentialsFor credentials;  // null: nothing is shown
  Dial dial;                   // null: TCP and TLS
  // Which addresses are dialled for a service, and for a URL, which an administrator wrote.
  bool (*may_dial_service)(const IpAddress&) = net::may_relay_to;
  bool (*may_dial_url)(const IpAddress&) = nullptr;  // null: any but link-local ones
  int calls = 8;                                     // at a time, on one loop
  size_t answer_bytes = size_t{64} << 20;
};

// Where it is, as a WebhookClientConfig says.
struct Target {
  std::string url;  // shown in errors
  std::string host, path, ca_pem;
  std::string authority;  // as whom it is spoken to: the URL's host and port, or the service's
  uint16_t port = 443;
  bool service = false;
  std::string service_namespace, service_name;

  // kBadRequest for a URL that is none; validation lets none pass.
  static Result<Target> read(const Value& client_config);
};

// One that is called. Any thread: each loop has its own connections and its own limit of calls.
class Callee : public std::enable_shared_from_this<Callee> {
 public:
  Callee(Target target, Options options);
  ~Callee();
  Callee(const Callee&) = delete;

  // Posts JSON; the body of a good answer. `timeout` is how long the callee is told that it has;
  // ctx ends by then. Errors of the transport are kServiceUnavailable (`Post "URL": why`), others
  // are what was answered: its Status, or one made of its code.
  Task<Result<std::string>> post(Context ctx, Duration timeout, std::string body);

 private:
  struct Local;
  std::shared_ptr<Local> local(Loop& loop);
  Task<Result<net::Response>> send(Context ctx, std::shared_ptr<Local> mine, std::string query,
                                   std::string body);

  Target target_;
  Options options_;
  Credentials shown_;
  std::mutex mutex_;
  std::map<Loop*, std::shared_ptr<Local>> locals_;
};

}  // namespace keles::callout
