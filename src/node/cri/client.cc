// Runtime over gRPC.
#include "base/log.h"
#include "base/metrics.h"
#include "node/cri/codec.h"

namespace keles::node::cri {
namespace {

constexpr const char* kRuntime = "/runtime.v1.RuntimeService/";
constexpr const char* kImages = "/runtime.v1.ImageService/";
constexpr Duration kShort = 2min;
constexpr Duration kImagePull = 1h;

Status malformed(std::string_view method) {
  return Status::internal("the container runtime's answer to " + std::string(method) +
                          " could not be read");
}

std::string only_text(uint32_t field, std::string_view value) {
  WireWriter w;
  w.text(field, value);
  return w.take();
}

std::string text_at(std::string_view in, uint32_t field) {
  WireReader r(in);
  std::string out;
  while (r.next())
    if (r.field() == field) out = r.text();
  return out;
}

// A list request with a filter by pod uid: field `labels` of the filter is its label selector.
std::string by_pod(const std::string& uid, uint32_t labels) {
  WireWriter w, filter;
  if (uid.empty()) return "";
  filter.text_map(labels, {{"io.kubernetes.pod.uid", uid}});
  w.message(1, filter);
  return w.take();
}

std::string image_request(const std::string& image, const std::optional<ImageAuth>& auth) {
  WireWriter w, spec;
  spec.text(1, image);
  w.message(1, spec);
  if (auth) {
    WireWriter a;
    a.text(1, auth->username);
    a.text(2, auth->password);
    a.text(3, auth->auth);
    a.text(4, auth->server_address);
    a.text(5, auth->identity_token);
    w.message(2, a);
  }
  return w.take();
}

// "run_podsandbox" of "RunPodSandbox": upstream's names of the operations.
std::string operation_name(std::string_view method) {
  std::string out;
  for (char c : method) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !out.empty() && !out.ends_with("pod")) out += '_';
    out += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

void count(std::string_view method, bool ok, Duration took) {
  static metrics::Counter& all = metrics::counter(
      "kubelet_runtime_operations_total",
      "Cumulative number of runtime operations by operation type.", {"operation_type"});
  static metrics::Counter& failed = metrics::counter(
      "kubelet_runtime_operations_errors_total",
      "Cumulative number of runtime operation errors by operation type.", {"operation_type"});
  static metrics::Histogram& durations = metrics::histogram(
      "kubelet_runtime_operations_duration_seconds",
      "Duration in seconds of runtime operations. Broken down by operation type.",
      {"operation_type"},
      {.005, .0125, .03125, .078125, .1953125, .48828125, 1.220703125, 3.0517578125, 7.62939453125,
       19.073486328125, 47.6837158203125, 119.20928955078125, 298.0232238769531,
       745.0580596923828});
  const std::string name = operation_name(method);
  all.with({name}).add();
  if (!ok) failed.with({name}).add();
  durations.with({name}).observe(static_cast<double>(took.count()) / 1e9);
}

class CriRuntime final : public Runtime {
 public:
  CriRuntime(Loop& loop, std::string endpoint) {
    net::Endpoint e;
    e.host = std::move(endpoint);
    channel_ = net::GrpcChannel::create(loop, std::move(e));
  }

  Task<Result<Version>> version(Context ctx) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "Version", only_text(1, "v1")));
    Version v;
    WireReader r(m);
    while (r.next()) {
      if (r.field() == 2) v.name = r.text();
      if (r.field() == 3) v.version = r.text();
      if (r.field() == 4) v.api_version = r.text();
    }
    co_return v;
  }

  Task<Result<RuntimeStatus>> status(Context ctx) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "Status", ""));
    auto s = decode_runtime_status(m);
    if (!s) co_return malformed("Status");
    co_return std::move(*s);
  }

  Task<Result<std::string>> run_sandbox(Context ctx, SandboxConfig config,
                                        std::string handler) override {
    WireWriter w;
    w.element(1, encode(config));
    w.text(2, handler);
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "RunPodSandbox", w.take(), 4min));
    co_return text_at(m, 1);
  }
  Task<Status> stop_sandbox(Context ctx, std::string id) override {
    return plain(ctx, "StopPodSandbox", only_text(1, id));
  }
  Task<Status> remove_sandbox(Context ctx, std::string id) override {
    return plain(ctx, "RemovePodSandbox", only_text(1, id));
  }
  Task<Result<Sandbox>> sandbox_status(Context ctx, std::string id) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "PodSandboxStatus", only_text(1, id)));
    auto s = decode_sandbox_status(m);
    if (!s) co_return malformed("PodSandboxStatus");
    co_return std::move(*s);
  }
  Task<Result<std::vector<Sandbox>>> list_sandboxes(Context ctx, std::string uid) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "ListPodSandbox", by_pod(uid, 3)));
    std::vector<Sandbox> out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() != 1) continue;
      Sandbox s;
      if (!read_sandbox(r.bytes(), false, s)) co_return malformed("ListPodSandbox");
      out.push_back(std::move(s));
    }
    co_return out;
  }

  Task<Result<std::string>> create_container(Context ctx, std::string sandbox_id,
                                             ContainerConfig config,
                                             SandboxConfig sandbox) override {
    WireWriter w;
    w.text(1, sandbox_id);
    w.element(2, encode(config));
    w.element(3, encode(sandbox));
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "CreateContainer", w.take()));
    co_return text_at(m, 1);
  }
  Task<Status> start_container(Context ctx, std::string id) override {
    return plain(ctx, "StartContainer", only_text(1, id));
  }
  Task<Status> stop_container(Context ctx, std::string id, int64_t timeout_seconds) override {
    WireWriter w;
    w.text(1, id);
    w.number(2, static_cast<uint64_t>(timeout_seconds));
    return plain(ctx, "StopContainer", w.take(), kShort + std::chrono::seconds(timeout_seconds));
  }
  Task<Status> remove_container(Context ctx, std::string id) override {
    return plain(ctx, "RemoveContainer", only_text(1, id));
  }
  Task<Result<Container>> container_status(Context ctx, std::string id) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "ContainerStatus", only_text(1, id)));
    auto c = decode_container_status(m);
    if (!c) co_return malformed("ContainerStatus");
    co_return std::move(*c);
  }
  Task<Result<std::vector<Container>>> list_containers(Context ctx, std::string uid) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "ListContainers", by_pod(uid, 4)));
    auto list = decode_container_list(m);
    if (!list) co_return malformed("ListContainers");
    co_return std::move(*list);
  }
  Task<Result<std::vector<ContainerStats>>> list_container_stats(Context ctx) override {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "ListContainerStats", ""));
    std::vector<ContainerStats> out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() != 1) continue;
      ContainerStats s;
      if (!read_stats(r.bytes(), s)) co_return malformed("ListContainerStats");
      out.push_back(std::move(s));
    }
    co_return out;
  }
  Task<Status> reopen_log(Context ctx, std::string id) override {
    return plain(ctx, "ReopenContainerLog", only_text(1, id));
  }

  Task<Result<ExecResult>> exec_sync(Context ctx, std::string id, std::vector<std::string> command,
                                     int64_t timeout_seconds) override {
    WireWriter w;
    w.text(1, id);
    w.texts(2, command);
    w.number(3, static_cast<uint64_t>(timeout_seconds));
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, "ExecSync", w.take(),
                          kShort + std::chrono::seconds(timeout_seconds)));
    ExecResult out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() == 1) out.out = r.text();
      if (r.field() == 2) out.err = r.text();
      if (r.field() == 3) out.exit_code = static_cast<int>(r.signed_number());
    }
    co_return out;
  }
  Task<Result<std::string>> exec_url(Context ctx, std::string id, std::vector<std::string> command,
                                     StreamOptions o) override {
    WireWriter w;
    w.text(1, id);
    w.texts(2, command);
    w.boolean(3, o.tty);
    w.boolean(4, o.in);
    w.boolean(5, o.out);
    w.boolean(6, o.err);
    return url(ctx, "Exec", w.take());
  }
  Task<Result<std::string>> attach_url(Context ctx, std::string id, StreamOptions o) override {
    WireWriter w;
    w.text(1, id);
    w.boolean(2, o.in);
    w.boolean(3, o.tty);
    w.boolean(4, o.out);
    w.boolean(5, o.err);
    return url(ctx, "Attach", w.take());
  }
  Task<Result<std::string>> port_forward_url(Context ctx, std::string sandbox_id,
                                             std::vector<int> ports) override {
    WireWriter w;
    w.text(1, sandbox_id);
    for (int p : ports) w.number(2, static_cast<uint64_t>(p));
    return url(ctx, "PortForward", w.take());
  }

  Task<Result<std::vector<Image>>> list_images(Context ctx) override {
    TRY_ASSIGN_CO(m, call(ctx, kImages, "ListImages", ""));
    std::vector<Image> out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() != 1) continue;
      Image i;
      if (!read_image(r.bytes(), i)) co_return malformed("ListImages");
      out.push_back(std::move(i));
    }
    co_return out;
  }
  Task<Result<std::optional<Image>>> image_status(Context ctx, std::string image) override {
    TRY_ASSIGN_CO(m, call(ctx, kImages, "ImageStatus", image_request(image, std::nullopt)));
    std::optional<Image> out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() != 1) continue;
      Image i;
      if (!read_image(r.bytes(), i)) co_return malformed("ImageStatus");
      out = std::move(i);
    }
    co_return out;
  }
  Task<Result<std::string>> pull_image(Context ctx, std::string image,
                                       std::optional<ImageAuth> auth) override {
    TRY_ASSIGN_CO(m, call(ctx, kImages, "PullImage", image_request(image, auth), kImagePull));
    co_return text_at(m, 1);
  }
  Task<Status> remove_image(Context ctx, std::string image) override {
    auto r = co_await call(ctx, kImages, "RemoveImage", image_request(image, std::nullopt));
    co_return r.status();
  }
  Task<Result<std::vector<FilesystemUsage>>> image_fs_info(Context ctx) override {
    TRY_ASSIGN_CO(m, call(ctx, kImages, "ImageFsInfo", ""));
    std::vector<FilesystemUsage> out;
    WireReader r(m);
    while (r.next()) {
      if (r.field() != 1) continue;
      FilesystemUsage f;
      if (!read_filesystem(r.bytes(), f)) co_return malformed("ImageFsInfo");
      out.push_back(std::move(f));
    }
    co_return out;
  }

  Task<Status> watch_events(Context ctx, std::function<void(std::string)> on_event) override {
    WireWriter w;
    w.text(1, "namespace==k8s.io,topic~=\"^/tasks/(exit|oom)\"");
    auto stream = co_await channel_->server_stream(
        ctx, "/containerd.services.events.v1.Events/Subscribe", w.take());
    if (!stream.ok()) co_return stream.status();
    while (true) {
      auto m = co_await (*stream)->next(ctx);
      if (!m.ok()) co_return m.status();
      std::string id = decode_event(*m);
      if (!id.empty()) on_event(std::move(id));
    }
  }

 private:
  Task<Result<std::string>> call(Context ctx, std::string service, std::string method,
                                 std::string message, Duration timeout = kShort) {
    const TimePoint began = ctx.loop().now();
    auto r =
        co_await channel_->unary(ctx.with_timeout(timeout), service + method, std::move(message));
    count(method, r.ok(), ctx.loop().now() - began);
    if (log::v(6) || (!r.ok() && log::v(4)))
      log::info("CRI call", {{"method", method}, {"status", r.status()}});
    co_return r;
  }
  Task<Status> plain(Context ctx, std::string method, std::string message,
                     Duration timeout = kShort) {
    auto r = co_await call(ctx, kRuntime, std::move(method), std::move(message), timeout);
    co_return r.status();
  }
  Task<Result<std::string>> url(Context ctx, std::string method, std::string message) {
    TRY_ASSIGN_CO(m, call(ctx, kRuntime, std::move(method), std::move(message)));
    co_return text_at(m, 1);
  }

  std::unique_ptr<net::GrpcChannel> channel_;
};

}  // namespace

std::unique_ptr<Runtime> make_cri_runtime(Loop& loop, std::string endpoint) {
  return std::make_unique<CriRuntime>(loop, std::move(endpoint));
}

}  // namespace keles::node::cri
