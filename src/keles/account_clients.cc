#include "keles/account_clients.h"

#include <algorithm>
#include <utility>

#include "api/core_v1.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/https_paths.h"
#include "client/rate_limited_client.h"

namespace keles {
namespace {

using api::core_v1::ServiceAccount;

constexpr int64_t kTokenSeconds = 3600;
constexpr Duration kRetry = 10s;  // where the token still holds, but could not be renewed

// The connections, and whose they are, which may change while calls are under way.
using Connected = std::shared_ptr<HttpsClient>;

// Holds the connections that it came over.
class HeldWatch final : public Watch {
 public:
  HeldWatch(Connected over, std::unique_ptr<Watch> inner)
      : over_(std::move(over)), inner_(std::move(inner)) {}
  Task<Result<WatchEvent>> next(Context ctx) override { return inner_->next(std::move(ctx)); }

 private:
  Connected over_;  // goes last
  std::unique_ptr<Watch> inner_;
};

Document named_account(const std::string& name) {
  Document d;
  Value metadata = Value::map();
  metadata.set(d.arena, "name", Value::string(d.arena.copy(name)));
  metadata.set(d.arena, "namespace", Value::string("kube-system"));
  d.root = Value::map();
  d.root.set(d.arena, "metadata", metadata);
  return d;
}

Document token_request() {
  Document d;
  Value spec = Value::map();
  spec.set(d.arena, "expirationSeconds", Value(kTokenSeconds));
  d.root = Value::map();
  d.root.set(d.arena, "spec", spec);
  return d;
}

class AccountClient final : public Client, public PathsClient {
 public:
  AccountClient(Client& root, std::string account, AccountClients::Options options,
                CatalogSource* kinds)
      : root_(root),
        account_(std::move(account)),
        options_(std::move(options)),
        kinds_(kinds),
        asking_(1) {
    if (options_.server.endpoint.tls) options_.server.endpoint.tls->identity.reset();
    options_.server.token.clear();
    options_.server.token_file.clear();
    options_.server.username.clear();
    options_.server.password.clear();
  }

  Loop& loop() override { return root_.loop(); }
  CatalogSource& kinds() override { return kinds_ ? *kinds_ : Client::kinds(); }

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->get(ctx, kind, std::move(ns), std::move(name));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->list(ctx, kind, std::move(ns), std::move(options));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->watch(ctx, kind, std::move(ns), std::move(options));
    look(got.status(), c);
    if (!got.ok()) co_return got.status();
    std::unique_ptr<Watch> held = std::make_unique<HeldWatch>(c, std::move(*got));
    co_return std::move(held);
  }
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->create(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                  std::move(options));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->update(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                  std::move(options));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->patch(ctx, kind, std::move(ns), std::move(name), type, std::move(body),
                                 std::move(options));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    auto got = co_await c->remove(ctx, kind, std::move(ns), std::move(name), std::move(options));
    look(got.status(), c);
    co_return got;
  }
  Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                  std::string query) override {
    auto over = co_await connected(ctx);
    if (!over.ok()) co_return over.status();
    Connected c = *over;
    HttpsPaths paths(*c);
    auto got = co_await paths.ask(ctx, std::move(method), std::move(path), std::move(query));
    if (got.ok() && got->status == 401) look(Status::unauthorized(), c);
    co_return got;
  }
  using Client::create;
  using Client::get;
  using Client::list;
  using Client::remove;
  using Client::update;

 private:
  // With a token that holds, as far as is known.
  Task<Result<Connected>> connected(Context ctx) {
    if (fresh()) co_return over_;
    TRY_CO(asking_.acquire(ctx));
    Status renewed;
    if (!fresh()) {
      renewed = co_await renew(ctx);
      if (!renewed.ok() && over_ && loop().now() < ends_) {
        renew_at_ = loop().now() + kRetry;
        renewed = Status();
      }
    }
    asking_.release();
    if (!renewed.ok()) {
      co_return renewed.with_prefix("no token for the service account " + account_);
    }
    co_return over_;
  }
  bool fresh() const { return over_ && root_.loop().now() < renew_at_; }

  // A token that is refused is of an account that was made anew, or of keys that were changed.
  void look(const Status& told, const Connected& over) {
    if (told.is(Reason::kUnauthorized) && over == over_) over_.reset();
  }

  Task<Result<ObjectPtr>> ask_for_token(Context ctx) {
    WriteOptions token;
    token.subresource = "token";
    Document body = token_request();
    co_return co_await root_.create(ctx, &kind_of<ServiceAccount>(), "kube-system", account_,
                                    std::move(body), token);
  }

  Task<Status> renew(Context ctx) {
    Context limit = ctx.with_timeout(30s);
    auto made = co_await ask_for_token(limit);
    if (made.status().is(Reason::kNotFound)) {
      WriteOptions none;
      Document body = named_account(account_);
      auto account = co_await root_.create(limit, &kind_of<ServiceAccount>(), "kube-system", "",
                                           std::move(body), none);
      if (!account.ok() && !account.status().is(Reason::kAlreadyExists)) {
        co_return account.status();
      }
      made = co_await ask_for_token(limit);
    }
    if (!made.ok()) co_return made.status();
    DocumentPtr tree = (*made)->tree();
    ClientConfig config = options_.server;
    config.token = tree->root["status"]["token"].as_string();
    if (config.token.empty()) co_return Status::internal("the server made no token");
    int64_t seconds = tree->root["spec"]["expirationSeconds"].as_int();
    if (seconds <= 0 || seconds > kTokenSeconds) seconds = kTokenSeconds;
    const TimePoint now = loop().now();
    ends_ = now + std::chrono::seconds(seconds);
    renew_at_ = now + std::chrono::seconds(seconds * 4 / 5);
    over_ = std::make_shared<HttpsClient>(loop(), std::move(config), options_.http);
    co_return Status();
  }

  Client& root_;
  const std::string account_;
  AccountClients::Options options_;
  CatalogSource* kinds_;
  Semaphore asking_;
  Connected over_;
  TimePoint renew_at_, ends_;
};

}  // namespace

struct AccountClients::Account {
  std::unique_ptr<AccountClient> client;
  std::unique_ptr<Client> limited;  // null: without limit
};

AccountClients::AccountClients(Client& root, Options options)
    : root_(root), options_(std::move(options)) {}
AccountClients::~AccountClients() = default;

AccountClients::Account& AccountClients::account_of(const std::string& account,
                                                    CatalogSource* kinds) {
  std::unique_ptr<Account>& a = accounts_[account];
  if (!a) {
    a = std::make_unique<Account>();
    a->client = std::make_unique<AccountClient>(root_, account, options_, kinds);
    if (options_.requests_per_second > 0) {
      a->limited = std::make_unique<RateLimitedClient>(*a->client, options_.requests_per_second,
                                                       options_.burst);
    }
  }
  return *a;
}

Client& AccountClients::of(const std::string& account, CatalogSource* kinds) {
  Account& a = account_of(account, kinds);
  return a.limited ? *a.limited : *a.client;
}

PathsClient& AccountClients::paths(const std::string& account) {
  return *account_of(account, nullptr).client;
}

}  // namespace keles
