#include "server/identity/remote.h"

#include "base/encoding.h"
#include "base/file.h"

namespace keles::identity {

// What belongs to a loop goes there to end.
Remote::~Remote() {
  for (auto& [loop, client] : clients_) {
    loop->post([held = std::move(client)]() mutable { held.reset(); });
  }
}

Result<std::shared_ptr<Remote>> Remote::of_url(std::string_view url, const std::string& ca_pem) {
  ClientConfig where;
  TRY(parse_server_url(url, &where));
  if (!where.endpoint.tls) return Status::bad_request("URL scheme must be https");
  where.endpoint.tls->ca_pem = ca_pem;
  return std::make_shared<Remote>(std::move(where));
}

Result<std::shared_ptr<Remote>> Remote::of_kubeconfig(const std::string& file) {
  if (!path_exists(file)) return Status::bad_request(file + ": no such file or directory");
  KubeconfigChoice choice;
  choice.path = file;
  auto where = load_client_config(choice);
  if (!where.ok()) return where.status().with_prefix(file);
  return std::make_shared<Remote>(std::move(*where));
}

std::shared_ptr<net::HttpClient> Remote::client(Loop& loop) {
  std::lock_guard lock(mutex_);
  auto& at = clients_[&loop];
  if (!at) at = net::HttpClient::create(loop, where_.endpoint);
  return at;
}

Task<Result<net::Response>> Remote::send(Context ctx, net::Request request, size_t most) {
  request.headers.add("Accept", "application/json");
  std::string token = where_.token;
  if (!where_.token_file.empty()) {
    auto text = read_file(where_.token_file, 1 << 20);
    if (!text.ok()) co_return text.status();
    token = text->substr(0, text->find_last_not_of(" \r\n\t") + 1);
  }
  if (!token.empty()) {
    request.headers.add("Authorization", "Bearer " + token);
  } else if (!where_.username.empty()) {
    request.headers.add("Authorization",
                        "Basic " + base64_encode(where_.username + ":" + where_.password));
  }
  auto to = client(ctx.loop());
  auto response = co_await to->send(ctx, std::move(request), most);
  co_return std::move(response);
}

Task<Result<net::Response>> Remote::get(Context ctx, std::string path, size_t most) {
  net::Request request("GET", net::encode_target(path));
  co_return co_await send(ctx, std::move(request), most);
}

Task<Result<net::Response>> Remote::post(Context ctx, std::string json, size_t most) {
  const std::string path = where_.path_prefix.empty() ? "/" : where_.path_prefix;
  net::Request request("POST", net::encode_target(path), "", std::move(json));
  request.headers.add("Content-Type", "application/json");
  co_return co_await send(ctx, std::move(request), most);
}

}  // namespace keles::identity
