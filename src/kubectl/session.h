// The cluster that a command speaks to: connection flags, kubeconfig, requests, discovery.
//
// A command is a plain function on the main thread; await() runs the loop until a task has ended.
// JSON on the wire: this is a person's tool.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/flags.h"
#include "base/loop.h"
#include "client/https_client.h"
#include "kubectl/mapper.h"
#include "machinery/value.h"

namespace keles::kubectl {

// The flags of every command.
struct ConnectionFlags {
  std::string kubeconfig, context, cluster, user, ns, server, token, username, password;
  std::string as, as_uid, certificate_authority, client_certificate, client_key, tls_server_name;
  std::vector<std::string> as_group;
  bool insecure = false, warnings_as_errors = false;
  std::string request_timeout = "0";
  int64_t verbosity = 0;
  void add_to(Flags& flags);
};

struct Call {
  Call() = default;
  Call(std::string method, std::string path) : method(std::move(method)), path(std::move(path)) {}
  std::string method = "GET", path, query, content_type, body, accept;
};

// "a=b&c=d" with both sides escaped; empty values are left out.
void add_query(std::string& query, std::string_view key, std::string_view value);
std::string escape_query(std::string_view s);

// A name that would be another path: ".", "..", "a/b", "a%2fb".
Status check_path_segment(std::string_view what, std::string_view name);

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const ConnectionFlags& flags);
  ~Session();

  const std::string& ns() const { return ns_; }
  bool namespace_given() const { return namespace_given_; }
  const std::string& server_url() const { return server_url_; }
  const std::string& server() const { return server_; }

  // The answer's tree; the server's Status, or a failure to reach it, as an error.
  Result<Document> call(Call c);
  // The same, the body as it came.
  Result<std::string> call_text(Call c);
  Task<Result<std::string>> call_text_async(Context ctx, Call c);
  // A streamed answer (watch, logs): its status is 2xx.
  Result<std::unique_ptr<net::ResponseStream>> open_stream(Context ctx, Call c);
  Task<Result<std::unique_ptr<net::ResponseStream>>> open_stream_async(Context ctx, Call c);
  Task<Result<std::unique_ptr<net::WebSocket>>> open_websocket(Context ctx, std::string path,
                                                               std::string query,
                                                               std::vector<std::string> protocols);

  // From discovery, asked for once.
  Result<const Mapper*> mapper();

  RealLoop& loop() { return *loop_; }
  Context context() { return Context::root(*loop_); }
  template <class T>
  T await(Task<T> t) {
    std::optional<T> out;
    spawn(*loop_, keep(std::move(t), &out, loop_.get()));
    loop_->run();
    return std::move(*out);
  }
  void sleep(Duration d) { (void)await(context().sleep(d)); }

 private:
  template <class T>
  static Task<void> keep(Task<T> t, std::optional<T>* out, RealLoop* loop) {
    T value = co_await std::move(t);
    out->emplace(std::move(value));
    loop->stop();
  }
  Context limited(Context ctx) const;
  Status transport_error(const Status& s) const;
  net::Headers headers_of(const Call& c) const;
  Status note(const net::Headers& headers);
  Task<Result<net::Response>> send(Context ctx, Call c);

  std::unique_ptr<RealLoop> loop_;
  std::string ns_, server_, server_url_;
  bool namespace_given_ = false, warnings_as_errors_ = false;
  int64_t verbosity_ = 0;
  Duration timeout_{0};
  net::Headers identity_;  // Impersonate-...
  std::vector<std::string> warned_;
  std::unique_ptr<HttpsClient> client_;
  std::optional<Mapper> mapper_;
};

}  // namespace keles::kubectl
