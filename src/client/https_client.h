// HttpsClient: Client over HTTPS. Built-in kinds travel as protobuf, custom ones as JSON; patches
// are JSON. Credentials are the config's client certificate, bearer token (a token file is read
// again when a minute has passed), or password. What is listed and watched comes without
// managedFields (as it does from informers of upstream's components); a write that leaves them out
// leaves them as they are. One loop's thread.
#pragma once

#include <memory>
#include <string>

#include "client/client.h"
#include "client/kubeconfig.h"

namespace keles {

struct HttpsClientOptions {
  std::string user_agent = "keles";
  Duration timeout = 60s;    // of every request but a watch, when its Context has no nearer end
  int busy_retries = 10;     // of 429 and 503 answers that carry Retry-After
  int64_t list_page = 5000;  // items of one list request; a list goes on until it is whole
};

class HttpsClient final : public Client {
 public:
  HttpsClient(Loop& loop, ClientConfig config, HttpsClientOptions options = {});
  ~HttpsClient() override;

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override;
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override;
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override;
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override;
  Loop& loop() override { return loop_; }
  using Client::create;
  using Client::get;
  using Client::list;
  using Client::remove;
  using Client::update;

  // --- for kubectl and others who speak HTTP themselves ---

  // A request with the credentials and the path prefix; status errors are not looked at.
  Task<Result<net::Response>> raw(Context ctx, std::string method, std::string path,
                                  std::string query, net::Headers headers, std::string body);
  Task<Result<std::unique_ptr<net::ResponseStream>>> raw_stream(Context ctx, std::string method,
                                                                std::string path, std::string query,
                                                                net::Headers headers,
                                                                std::string body);
  // The request that raw() would send.
  Result<net::Request> request(std::string method, std::string path, std::string query,
                               net::Headers headers, std::string body);
  net::HttpClient& http() { return *http_; }
  // Who it is from now on, when its certificate has been renewed. What is under way ends over the
  // connections that it has.
  void set_identity(net::TlsIdentity identity);
  const ClientConfig& config() const { return config_; }

  // "/apis/apps/v1/namespaces/NS/deployments/NAME/SUB".
  static std::string path_of(const KindDesc& kind, std::string_view ns, std::string_view name,
                             std::string_view subresource = {});

 private:
  Task<Result<net::Response>> call(Context ctx, std::string method, std::string path,
                                   std::string query, net::Headers headers, std::string body);
  Task<Result<ObjectPtr>> write(Context ctx, std::string method, const KindDesc* kind,
                                std::string ns, std::string name, std::string content_type,
                                std::string body, WriteOptions options, std::string query);
  Result<std::string> authorization();

  Loop& loop_;
  ClientConfig config_;
  HttpsClientOptions options_;
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::HttpClient> former_;  // of the identity before; requests may be under way
  std::string token_;
  TimePoint token_read_;
};

// Reads the frames of a protobuf watch (four bytes of length, then a meta.v1.WatchEvent) or the
// objects of a JSON one. For one kind; bounded by `max_frame`.
class WatchDecoder {
 public:
  WatchDecoder(const KindDesc* kind, bool json, size_t max_frame = 64u << 20)
      : kind_(kind), json_(json), max_frame_(max_frame) {}
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next event; false when more bytes are needed. An ERROR event is its Status.
  Result<bool> next(WatchEvent* event);

 private:
  Result<bool> decode(std::string_view frame, WatchEvent* event);
  Result<bool> decode_json(std::string_view frame, WatchEvent* event);
  Result<bool> make(std::string_view type, Result<Document> object, WatchEvent* event);
  const KindDesc* kind_;
  bool json_;
  size_t max_frame_;
  std::string buffer_;
  size_t at_ = 0;
};

}  // namespace keles
