#include "ingress/proxy_process.h"

#include <csignal>

#include "base/file.h"
#include "base/log.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

constexpr Duration kCheckTimeout = 30s;
constexpr int kRefused = 1;  // of HAProxy's exit codes; another says nothing of what it was shown
constexpr size_t kRemembered = 10'000, kMaxComplaint = 500;
// A worker that has just been asked for is there soon; after that its endpoints are read anew.
constexpr Duration kTellTimeout = 5s, kTellPause = 50ms;
constexpr int kTellTimes = 20;
constexpr size_t kMaxParked = 1000;

// The keys are among them: for us alone.
Status write_all(const std::string& place, const ProxyFiles& files) {
  TRY(remove_tree(place));
  TRY(make_directories(place, 0700));
  for (const auto& [name, content] : files) TRY(write_file(place + "/" + name, content, 0600));
  return Status();
}

}  // namespace

ProxyProcess::ProxyProcess(Loop& loop, std::string program, ProxyOptions options,
                           std::function<void()> ended)
    : loop_(loop),
      program_(std::move(program)),
      options_(std::move(options)),
      ended_(std::move(ended)),
      group_(loop) {}

Task<Status> ProxyProcess::check(Context ctx, std::string configuration) {
  ProcessOptions p;
  p.argv = {program_, "-c", "-q", "-f", configuration};
  auto ran = co_await run_process(ctx.with_timeout(kCheckTimeout), p);
  if (!ran.ok()) co_return ran.status();
  if (ran->exit_code == 0) co_return Status();
  std::string why = "the proxy refuses it: " + ran->err.substr(0, kMaxComplaint);
  if (ran->exit_code != kRefused) co_return Status::internal(std::move(why));
  co_return Status::bad_request(std::move(why));
}

Task<Status> ProxyProcess::try_files(Context ctx, std::string key, ProxyFiles files,
                                     std::string place) {
  const std::string digest = net::sha256(key);
  if (const auto known = judged_.find(digest); known != judged_.end()) co_return known->second;
  Status s = write_all(place, files);
  if (s.ok()) s = co_await check(ctx, place + "/haproxy.cfg");
  (void)remove_tree(place);
  if (s.ok() || s.is(Reason::kBadRequest)) {
    if (judged_.size() >= kRemembered) judged_.clear();
    judged_.emplace(digest, s);
  }
  co_return s;
}

Task<Status> ProxyProcess::try_certificate(Context ctx, net::TlsIdentity identity) {
  const std::string place = options_.directory + "/check";
  ProxyFiles files = write_certificate_check(identity, place);
  std::string key = "certificate\n" + identity.certificate_pem + "\n" + identity.key_pem;
  co_return co_await try_files(ctx, std::move(key), std::move(files), place);
}

Task<Status> ProxyProcess::try_expression(Context ctx, std::string expression) {
  const std::string place = options_.directory + "/check";
  ProxyFiles files = write_expression_check(expression, place);
  co_return co_await try_files(ctx, "expression\n" + expression, std::move(files), place);
}

Task<Status> ProxyProcess::tell_endpoints(Context ctx, Backends backends) {
  Parked parked = parked_;
  const auto commands = endpoint_commands(backends_, backends, &parked);
  if (parked.size() > kMaxParked) co_return Status::unavailable("too many endpoints have gone");
  Context limit = ctx.with_timeout(kTellTimeout);
  Status s;
  for (int i = 0; i < kTellTimes; ++i) {
    s = co_await tell_worker(limit, options_.directory + "/admin.sock", place(), commands);
    if (!s.is(Reason::kNotFound)) break;
    Status slept = co_await limit.sleep(kTellPause);
    if (!slept.ok()) break;
  }
  if (!s.ok()) co_return s;
  backends_ = std::move(backends);
  parked_ = std::move(parked);
  co_return s;
}

Task<Status> ProxyProcess::apply(Context ctx, RoutingTable table) {
  RoutingTable bare = table;
  for (auto& [name, backend] : bare.backends) backend.targets.clear();
  ProxyFiles shape = write_proxy_files(bare, options_, "");
  if (process_ && shape == shape_) {
    if (table.backends == backends_) co_return Status();
    Status told = co_await tell_endpoints(ctx, table.backends);
    if (told.ok()) co_return told;
    log::info("The proxy is to read its endpoints anew", {{"reason", told}});
  }
  ++generation_;
  ProxyFiles placed = write_proxy_files(table, options_, place());
  Status s = write_all(place(), placed);
  if (s.ok()) s = co_await check(ctx, place() + "/haproxy.cfg");
  const std::string current = options_.directory + "/haproxy.cfg";
  if (s.ok()) s = write_file(current, placed["haproxy.cfg"], 0600);
  if (!s.ok()) {
    (void)remove_tree(place());
    shape_.clear();  // the worker has another generation than the last
    co_return s;
  }
  shape_ = std::move(shape);
  backends_ = std::move(table.backends);
  parked_.clear();
  // The last but one is not read any more: a reload takes less than the pause between two.
  if (generation_ > 2)
    (void)remove_tree(options_.directory + "/" + std::to_string(generation_ - 2));
  if (process_) {
    process_->signal(SIGUSR2);
    log::info("The proxy reads its routes anew", {{"generation", generation_}});
    co_return Status();
  }
  ProcessOptions p;
  p.argv = {program_, "-W", "-db", "-f", current};
  auto started = Process::start(loop_, p);
  if (!started.ok()) co_return started.status();
  process_ = std::move(*started);
  log::info("The proxy was started", {{"pid", process_->pid()}});
  group_.spawn(watch(Context::root(loop_)));
  co_return Status();
}

Task<void> ProxyProcess::watch(Context ctx) {
  auto code = co_await process_->wait(ctx);
  log::info("The proxy has ended", {{"code", code.ok() ? *code : -1}});
  process_.reset();
  ended_();
}

Task<void> ProxyProcess::stop(Context ctx) {
  if (process_) process_->signal(SIGUSR1);
  while (process_ && !ctx.done()) {
    Status s = co_await ctx.sleep(100ms);
    if (!s.ok()) break;
  }
  if (process_) process_->signal(SIGTERM);
  co_await group_.join();
}

}  // namespace keles::ingress
