// Runtime over gRPC.
#include <algorithm>

#include "base/encoding.h"
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

// The requests of many calls have one field alone, the id of what they are about.
template <class Edit>
std::string for_container(std::string_view id) {
  Draft<Edit> request;
  request->set_container_id(id);
  return send(request);
}
template <class Edit>
std::string for_sandbox(std::string_view id) {
  Draft<Edit> request;
  request->set_pod_sandbox_id(id);
  return send(request);
}

// A list request, filtered by the label that says whose pod it is.
template <class Edit>
std::string by_pod(const std::string& uid) {
  Draft<Edit> request;
  if (uid.empty()) return "";
  request->edit_filter().edit_label_selector().set("io.kubernetes.pod.uid", uid);
  return send(request);
}

template <class Edit>
std::string for_image(std::string_view image) {
  Draft<Edit> request;
  request->edit_image().set_image(image);
  return send(request);
}

std::string pull_request(const std::string& image, const std::optional<ImageAuth>& auth) {
  Draft<v1::PullImageRequestEdit> request;
  request->edit_image().set_image(image);
  if (auth) {
    auto a = request->edit_auth();
    a.set_username(auth->username);
    a.set_password(auth->password);
    a.set_auth(auth->auth);
    a.set_server_address(auth->server_address);
    a.set_identity_token(auth->identity_token);
  }
  return send(request);
}

// Every message of a list as its struct.
template <class Struct, class Messages>
std::vector<Struct> read_all(const Messages& messages) {
  std::vector<Struct> out;
  out.reserve(messages.size());
  for (const auto& m : messages) out.push_back(read(m));
  return out;
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
    Draft<v1::VersionRequestEdit> request;
    request->set_version("v1");
    TRY_ASSIGN_CO(m,
                  ask(ctx, kRuntime, "Version", &v1::VersionResponse::descriptor(), send(request)));
    const v1::VersionResponse r(m->root);
    Version v;
    v.name = r.runtime_name();
    v.version = r.runtime_version();
    v.api_version = r.runtime_api_version();
    co_return v;
  }

  Task<Result<RuntimeStatus>> status(Context ctx) override {
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "Status", &v1::StatusResponse::descriptor(), ""));
    const v1::StatusResponse r(m->root);
    co_return read(r);
  }

  Task<Result<std::string>> run_sandbox(Context ctx, SandboxConfig config,
                                        std::string handler) override {
    Draft<v1::RunPodSandboxRequestEdit> request;
    fill(request->edit_config(), config);
    request->set_runtime_handler(handler);
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "RunPodSandbox", &v1::RunPodSandboxResponse::descriptor(),
                         send(request), 4min));
    const v1::RunPodSandboxResponse r(m->root);
    co_return std::string(r.pod_sandbox_id());
  }
  Task<Status> stop_sandbox(Context ctx, std::string id) override {
    return plain(ctx, "StopPodSandbox", for_sandbox<v1::StopPodSandboxRequestEdit>(id));
  }
  Task<Status> remove_sandbox(Context ctx, std::string id) override {
    return plain(ctx, "RemovePodSandbox", for_sandbox<v1::RemovePodSandboxRequestEdit>(id));
  }
  Task<Result<Sandbox>> sandbox_status(Context ctx, std::string id) override {
    TRY_ASSIGN_CO(
        m, ask(ctx, kRuntime, "PodSandboxStatus", &v1::PodSandboxStatusResponse::descriptor(),
               for_sandbox<v1::PodSandboxStatusRequestEdit>(id)));
    const v1::PodSandboxStatusResponse r(m->root);
    co_return read(r.status());
  }
  Task<Result<std::vector<Sandbox>>> list_sandboxes(Context ctx, std::string uid) override {
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "ListPodSandbox", &v1::ListPodSandboxResponse::descriptor(),
                         by_pod<v1::ListPodSandboxRequestEdit>(uid)));
    const v1::ListPodSandboxResponse r(m->root);
    co_return read_all<Sandbox>(r.items());
  }

  Task<Result<std::string>> create_container(Context ctx, std::string sandbox_id,
                                             ContainerConfig config,
                                             SandboxConfig sandbox) override {
    Draft<v1::CreateContainerRequestEdit> request;
    request->set_pod_sandbox_id(sandbox_id);
    fill(request->edit_config(), config);
    fill(request->edit_sandbox_config(), sandbox);
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "CreateContainer",
                         &v1::CreateContainerResponse::descriptor(), send(request)));
    const v1::CreateContainerResponse r(m->root);
    co_return std::string(r.container_id());
  }
  Task<Status> start_container(Context ctx, std::string id) override {
    return plain(ctx, "StartContainer", for_container<v1::StartContainerRequestEdit>(id));
  }
  Task<Status> stop_container(Context ctx, std::string id, int64_t timeout_seconds) override {
    Draft<v1::StopContainerRequestEdit> request;
    request->set_container_id(id);
    request->set_timeout(timeout_seconds);
    return plain(ctx, "StopContainer", send(request),
                 kShort + std::chrono::seconds(timeout_seconds));
  }
  Task<Status> remove_container(Context ctx, std::string id) override {
    return plain(ctx, "RemoveContainer", for_container<v1::RemoveContainerRequestEdit>(id));
  }
  Task<Result<Container>> container_status(Context ctx, std::string id) override {
    TRY_ASSIGN_CO(m,
                  ask(ctx, kRuntime, "ContainerStatus", &v1::ContainerStatusResponse::descriptor(),
                      for_container<v1::ContainerStatusRequestEdit>(id)));
    const v1::ContainerStatusResponse r(m->root);
    co_return read(r.status());
  }
  Task<Result<std::vector<Container>>> list_containers(Context ctx, std::string uid) override {
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "ListContainers", &v1::ListContainersResponse::descriptor(),
                         by_pod<v1::ListContainersRequestEdit>(uid)));
    const v1::ListContainersResponse r(m->root);
    co_return read_all<Container>(r.containers());
  }
  Task<Result<std::vector<ContainerStats>>> list_container_stats(Context ctx) override {
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "ListContainerStats",
                         &v1::ListContainerStatsResponse::descriptor(), ""));
    const v1::ListContainerStatsResponse r(m->root);
    co_return read_all<ContainerStats>(r.stats());
  }
  Task<Status> reopen_log(Context ctx, std::string id) override {
    return plain(ctx, "ReopenContainerLog", for_container<v1::ReopenContainerLogRequestEdit>(id));
  }

  Task<Status> update_resources(Context ctx, std::string id, Resources resources) override {
    Draft<v1::UpdateContainerResourcesRequestEdit> request;
    request->set_container_id(id);
    fill(request->edit_linux(), resources);
    std::string message = send(request);
    co_return co_await plain(ctx, "UpdateContainerResources", std::move(message));
  }
  Task<Status> checkpoint_container(Context ctx, std::string id, std::string location,
                                    int64_t timeout_seconds) override {
    const auto limit = std::max<Duration>(kShort, std::chrono::seconds(timeout_seconds));
    Draft<v1::CheckpointContainerRequestEdit> request;
    request->set_container_id(id);
    request->set_location(location);
    request->set_timeout(limit / 1s);
    std::string message = send(request);
    co_return co_await plain(ctx, "CheckpointContainer", std::move(message), limit);
  }
  Task<Result<ExecResult>> exec_sync(Context ctx, std::string id, std::vector<std::string> command,
                                     int64_t timeout_seconds) override {
    Draft<v1::ExecSyncRequestEdit> request;
    request->set_container_id(id);
    for (const std::string& word : command) request->edit_cmd().add(word);
    request->set_timeout(timeout_seconds);
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, "ExecSync", &v1::ExecSyncResponse::descriptor(),
                         send(request), kShort + std::chrono::seconds(timeout_seconds)));
    const v1::ExecSyncResponse r(m->root);
    ExecResult out;
    out.out = base64_decode(r.stdout()).value_or("");
    out.err = base64_decode(r.stderr()).value_or("");
    out.exit_code = static_cast<int>(r.exit_code());
    co_return out;
  }
  Task<Result<std::string>> exec_url(Context ctx, std::string id, std::vector<std::string> command,
                                     StreamOptions o) override {
    Draft<v1::ExecRequestEdit> request;
    request->set_container_id(id);
    for (const std::string& word : command) request->edit_cmd().add(word);
    set_streams(*request, o);
    return url(ctx, "Exec", send(request));
  }
  Task<Result<std::string>> attach_url(Context ctx, std::string id, StreamOptions o) override {
    Draft<v1::AttachRequestEdit> request;
    request->set_container_id(id);
    set_streams(*request, o);
    return url(ctx, "Attach", send(request));
  }
  Task<Result<std::string>> port_forward_url(Context ctx, std::string sandbox_id,
                                             std::vector<int> ports) override {
    Draft<v1::PortForwardRequestEdit> request;
    request->set_pod_sandbox_id(sandbox_id);
    for (int p : ports) request->edit_port().add(p);
    return url(ctx, "PortForward", send(request));
  }

  Task<Result<std::vector<Image>>> list_images(Context ctx) override {
    TRY_ASSIGN_CO(m, ask(ctx, kImages, "ListImages", &v1::ListImagesResponse::descriptor(), ""));
    const v1::ListImagesResponse r(m->root);
    co_return read_all<Image>(r.images());
  }
  Task<Result<std::optional<Image>>> image_status(Context ctx, std::string image) override {
    TRY_ASSIGN_CO(m, ask(ctx, kImages, "ImageStatus", &v1::ImageStatusResponse::descriptor(),
                         for_image<v1::ImageStatusRequestEdit>(image)));
    const v1::ImageStatusResponse r(m->root);
    std::optional<Image> out;
    if (r.has_image()) out = read(r.image());
    co_return out;
  }
  Task<Result<std::string>> pull_image(Context ctx, std::string image,
                                       std::optional<ImageAuth> auth) override {
    TRY_ASSIGN_CO(m, ask(ctx, kImages, "PullImage", &v1::PullImageResponse::descriptor(),
                         pull_request(image, auth), kImagePull));
    const v1::PullImageResponse r(m->root);
    co_return std::string(r.image_ref());
  }
  Task<Status> remove_image(Context ctx, std::string image) override {
    std::string request = for_image<v1::RemoveImageRequestEdit>(image);
    auto r = co_await call(ctx, kImages, "RemoveImage", std::move(request));
    co_return r.status();
  }
  Task<Result<ImageFilesystems>> image_fs_info(Context ctx) override {
    TRY_ASSIGN_CO(m, ask(ctx, kImages, "ImageFsInfo", &v1::ImageFsInfoResponse::descriptor(), ""));
    const v1::ImageFsInfoResponse r(m->root);
    ImageFilesystems out;
    out.images = read_all<FilesystemUsage>(r.image_filesystems());
    out.containers = read_all<FilesystemUsage>(r.container_filesystems());
    co_return out;
  }

  Task<Status> watch_events(Context ctx, std::function<void(std::string)> on_event) override {
    std::string request;  // SubscribeRequest { filters = 1 }
    append_bytes_field(request, 1, "namespace==k8s.io,topic~=\"^/tasks/(exit|oom)\"");
    auto stream = co_await channel_->server_stream(
        ctx, "/containerd.services.events.v1.Events/Subscribe", std::move(request));
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
  // One coroutine for every call: what comes back is a message of `type`.
  Task<Result<DocumentPtr>> ask(Context ctx, std::string service, std::string method,
                                const TypeDesc* type, std::string message,
                                Duration timeout = kShort) {
    auto r = co_await call(ctx, std::move(service), method, std::move(message), timeout);
    if (!r.ok()) co_return r.status();
    auto answer = receive(*type, std::move(*r));
    if (!answer.ok()) co_return malformed(method);
    co_return std::move(*answer);
  }
  Task<Status> plain(Context ctx, std::string method, std::string message,
                     Duration timeout = kShort) {
    auto r = co_await call(ctx, kRuntime, std::move(method), std::move(message), timeout);
    co_return r.status();
  }
  // ExecResponse, AttachResponse and PortForwardResponse are alike.
  Task<Result<std::string>> url(Context ctx, std::string method, std::string message) {
    const TypeDesc* type = &v1::ExecResponse::descriptor();
    TRY_ASSIGN_CO(m, ask(ctx, kRuntime, std::move(method), type, std::move(message)));
    co_return std::string(v1::ExecResponse(m->root).url());
  }
  template <class Edit>
  static void set_streams(Edit& request, const StreamOptions& o) {
    request.set_stdin(o.in);
    request.set_stdout(o.out);
    request.set_stderr(o.err);
    request.set_tty(o.tty);
  }

  std::unique_ptr<net::GrpcChannel> channel_;
};

}  // namespace

std::unique_ptr<Runtime> make_cri_runtime(Loop& loop, std::string endpoint) {
  return std::make_unique<CriRuntime>(loop, std::move(endpoint));
}

}  // namespace keles::node::cri
