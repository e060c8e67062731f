#include "sim/fake_runtime.h"

#include <algorithm>

#include "base/buggify.h"

namespace keles::sim {

using node::cri::Container;
using node::cri::ContainerState;
using node::cri::Image;
using node::cri::Sandbox;
using node::cri::SandboxState;

struct FakeRuntime::Listener {
  std::function<void(std::string)> tell;  // none: nobody listens
};

namespace {

constexpr int kKilled = 137, kTerminated = 143, kLost = 255;

Status no_such(const std::string& id) {
  return Status(Reason::kNotFound, "the runtime has no \"" + id + "\"");
}

Image image_of(const std::string& name) {
  Image out;
  out.id = "sha256:" + name;
  out.tags = {name};
  out.size_bytes = 1000;
  return out;
}

bool end_now(Container& c, int code, WallTime now) {
  if (c.state != ContainerState::kRunning && c.state != ContainerState::kCreated) return false;
  c.state = ContainerState::kExited;
  c.exit_code = code;
  c.finished_at_ns = now.ns;
  return true;
}

}  // namespace

void Machine::power_off(WallTime now) {
  for (auto& [id, c] : containers) end_now(c, kLost, now);
  for (auto& [id, s] : sandboxes) s.state = SandboxState::kNotReady;
}

FakeRuntime::FakeRuntime(Loop& loop, Machine& machine, FakeTimes times)
    : loop_(loop), machine_(machine), times_(times), listener_(std::make_shared<Listener>()) {}

FakeRuntime::~FakeRuntime() { listener_->tell = nullptr; }

Duration FakeRuntime::between(Duration least, Duration most) {
  return Duration(loop_.random().between(least.count(), most.count()));
}

Task<Status> FakeRuntime::begin(Context ctx) {
  Duration takes = between(times_.call_min, times_.call_max);
  if (buggify(loop_, "cri.slow", 0.01)) takes += between(1s, 20s);
  Status s = co_await ctx.sleep(takes);
  if (s.ok() && buggify(loop_, "cri.fails", 0.02)) s = Status::unavailable("the runtime is ill");
  co_return s;
}

Status FakeRuntime::answer() {
  if (!buggify(loop_, "cri.reply_lost", 0.01)) return {};
  return Status(Reason::kTimeout, "the runtime did not answer in time");
}

void FakeRuntime::exit(const std::string& id, int code) {
  auto it = machine_.containers.find(id);
  if (it == machine_.containers.end() || !end_now(it->second, code, loop_.wall_now())) return;
  if (listener_->tell && !buggify(loop_, "cri.event_lost", 0.05)) listener_->tell(id);
}

// The container's own doing: whatever has become of the agent by then. With a fault point, it
// happens only if that fires then.
void FakeRuntime::exit_at(Duration after, const std::string& id, int code,
                          const char* fault_point) {
  Machine* machine = &machine_;
  Loop* loop = &loop_;
  std::weak_ptr<Listener> listener = listener_;
  loop_.schedule(loop_.now() + after, [=] {
    if (fault_point && !buggify(*loop, fault_point, 0.3)) return;
    auto it = machine->containers.find(id);
    if (it == machine->containers.end() || !end_now(it->second, code, loop->wall_now())) return;
    auto who = listener.lock();
    if (who && who->tell && !buggify(*loop, "cri.event_lost", 0.05)) who->tell(id);
  });
}

// As host-local gives them: in turn, and none that a sandbox still has.
std::string FakeRuntime::next_address() {
  const std::string& cidr = machine_.pod_cidr;
  if (cidr.empty()) return "";
  const std::string base = cidr.substr(0, cidr.rfind('.', cidr.find('/'))) + ".";
  std::set<std::string> used;
  for (const auto& [id, s] : machine_.sandboxes)
    if (s.state == SandboxState::kReady) used.insert(s.ip);
  for (int tries = 0; tries < 253; ++tries) {
    machine_.last_address = machine_.last_address >= 254 ? 2 : machine_.last_address + 1;
    std::string ip = base + std::to_string(machine_.last_address);
    if (!used.contains(ip)) return ip;
  }
  return "";
}

Task<Result<node::cri::RuntimeStatus>> FakeRuntime::status(Context ctx) {
  TRY_CO(begin(ctx));
  node::cri::RuntimeStatus out;
  out.conditions.push_back({"RuntimeReady", true, "", ""});
  out.conditions.push_back({"NetworkReady", !machine_.pod_cidr.empty(), "", ""});
  co_return out;
}

Task<Result<std::string>> FakeRuntime::run_sandbox(Context ctx, node::cri::SandboxConfig config,
                                                   std::string) {
  TRY_CO(begin(ctx));
  Sandbox s;
  s.id = "sandbox-" + std::to_string(++machine_.last_id);
  s.name = config.name;
  s.uid = config.uid;
  s.ns = config.ns;
  s.attempt = config.attempt;
  s.state = SandboxState::kReady;
  s.created_at_ns = loop_.wall_now().ns;
  s.labels = config.labels;
  s.network = config.namespaces.network;
  const bool on_host = s.network == node::cri::NamespaceMode::kNode;
  if (!on_host) s.ip = next_address();
  if (!on_host && s.ip.empty()) co_return Status::unavailable("no address is left");
  std::string id = s.id;
  machine_.sandboxes[id] = std::move(s);
  Status lost = answer();
  if (!lost.ok()) co_return lost;
  co_return id;
}

Task<Status> FakeRuntime::stop_sandbox(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  auto it = machine_.sandboxes.find(id);
  if (it == machine_.sandboxes.end()) co_return Status();
  std::vector<std::string> inside;
  for (const auto& [c, container] : machine_.containers)
    if (container.sandbox_id == id) inside.push_back(c);
  for (const std::string& c : inside) exit(c, kKilled);
  it = machine_.sandboxes.find(id);
  if (it != machine_.sandboxes.end()) it->second.state = SandboxState::kNotReady;
  co_return answer();
}

Task<Status> FakeRuntime::remove_sandbox(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  auto it = machine_.sandboxes.find(id);
  if (it == machine_.sandboxes.end()) co_return Status();
  if (it->second.state == SandboxState::kReady)
    co_return Status(Reason::kUnknown, "the sandbox \"" + id + "\" is still running");
  std::erase_if(machine_.containers, [&](const auto& c) { return c.second.sandbox_id == id; });
  machine_.sandboxes.erase(id);
  co_return answer();
}

Task<Result<Sandbox>> FakeRuntime::sandbox_status(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  auto it = machine_.sandboxes.find(id);
  if (it == machine_.sandboxes.end()) co_return no_such(id);
  Sandbox out = it->second;
  if (out.state != SandboxState::kReady) out.ip.clear();
  co_return out;
}

Task<Result<std::vector<Sandbox>>> FakeRuntime::list_sandboxes(Context ctx, std::string uid) {
  TRY_CO(begin(ctx));
  std::vector<Sandbox> out;
  for (const auto& [id, s] : machine_.sandboxes)
    if (uid.empty() || s.uid == uid) out.push_back(s);
  co_return out;
}

Task<Result<std::string>> FakeRuntime::create_container(Context ctx, std::string sandbox_id,
                                                        node::cri::ContainerConfig config,
                                                        node::cri::SandboxConfig sandbox) {
  TRY_CO(begin(ctx));
  auto at = machine_.sandboxes.find(sandbox_id);
  if (at == machine_.sandboxes.end() || at->second.state != SandboxState::kReady)
    co_return no_such(sandbox_id);
  // The name of a container is its alone, as containerd has it.
  for (const auto& [id, other] : machine_.containers) {
    if (other.sandbox_id == sandbox_id && other.name == config.name &&
        other.attempt == config.attempt)
      co_return Status(Reason::kUnknown, "the name \"" + config.name + "_" + sandbox.name +
                                             "\" is reserved for \"" + id + "\"");
  }
  Container c;
  c.id = "container-" + std::to_string(++machine_.last_id);
  c.sandbox_id = sandbox_id;
  c.name = config.name;
  c.attempt = config.attempt;
  c.image = config.user_image;
  c.image_ref = config.image;
  c.image_id = config.image;
  c.state = ContainerState::kCreated;
  c.created_at_ns = loop_.wall_now().ns;
  c.labels = config.labels;
  c.annotations = config.annotations;
  std::string id = c.id;
  machine_.containers[id] = std::move(c);
  Status lost = answer();
  if (!lost.ok()) co_return lost;
  co_return id;
}

Task<Status> FakeRuntime::start_container(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  Duration takes = between(times_.start_min, times_.start_max);
  TRY_CO(ctx.sleep(takes));
  auto it = machine_.containers.find(id);
  if (it == machine_.containers.end()) co_return no_such(id);
  if (it->second.state != ContainerState::kCreated)
    co_return Status(Reason::kUnknown, "the container is not in the state created");
  it->second.state = ContainerState::kRunning;
  it->second.started_at_ns = loop_.wall_now().ns;
  auto sandbox = machine_.sandboxes.find(it->second.sandbox_id);
  const bool ends =
      sandbox != machine_.sandboxes.end() && machine_.ends.contains(sandbox->second.uid);
  const int code = loop_.random().chance(0.2) ? 1 : 0;
  if (ends) exit_at(between(times_.work_min, times_.work_max), id, code, nullptr);
  if (!ends) exit_at(between(times_.crash_min, times_.crash_max), id, 2, "container.crashes");
  co_return answer();
}

Task<Status> FakeRuntime::stop_container(Context ctx, std::string id, int64_t timeout_seconds) {
  TRY_CO(begin(ctx));
  Duration takes = between(times_.stop_min, times_.stop_max);
  const Duration most = std::chrono::seconds(std::max<int64_t>(timeout_seconds, 0));
  TRY_CO(ctx.sleep(std::min(takes, most)));
  if (!machine_.containers.contains(id)) co_return no_such(id);
  exit(id, takes < most ? kTerminated : kKilled);
  co_return answer();
}

Task<Status> FakeRuntime::remove_container(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  exit(id, kKilled);
  machine_.containers.erase(id);
  co_return answer();
}

Task<Result<Container>> FakeRuntime::container_status(Context ctx, std::string id) {
  TRY_CO(begin(ctx));
  auto it = machine_.containers.find(id);
  if (it == machine_.containers.end()) co_return no_such(id);
  co_return it->second;
}

Task<Result<std::vector<Container>>> FakeRuntime::list_containers(Context ctx, std::string uid) {
  TRY_CO(begin(ctx));
  std::vector<Container> out;
  for (const auto& [id, c] : machine_.containers) {
    auto sandbox = machine_.sandboxes.find(c.sandbox_id);
    const bool its = sandbox != machine_.sandboxes.end() && sandbox->second.uid == uid;
    if (uid.empty() || its) out.push_back(c);
  }
  co_return out;
}

Task<Status> FakeRuntime::update_resources(Context ctx, std::string id, node::cri::Resources) {
  TRY_CO(begin(ctx));
  if (!machine_.containers.contains(id)) co_return no_such(id);
  co_return answer();
}

Task<Result<std::vector<Image>>> FakeRuntime::list_images(Context ctx) {
  TRY_CO(begin(ctx));
  std::vector<Image> out;
  for (const std::string& name : machine_.images) out.push_back(image_of(name));
  co_return out;
}

Task<Result<std::optional<Image>>> FakeRuntime::image_status(Context ctx, std::string image) {
  TRY_CO(begin(ctx));
  std::optional<Image> out;
  if (machine_.images.contains(image)) out = image_of(image);
  co_return out;
}

Task<Result<std::string>> FakeRuntime::pull_image(Context ctx, std::string image,
                                                  std::optional<node::cri::ImageAuth>) {
  TRY_CO(begin(ctx));
  machine_.images.insert(image);
  Status lost = answer();
  if (!lost.ok()) co_return lost;
  co_return "sha256:" + image;
}

Task<Status> FakeRuntime::watch_events(Context ctx, std::function<void(std::string)> on_event) {
  listener_->tell = std::move(on_event);
  Duration lasts = buggify(loop_, "cri.events_end") ? between(1s, 30s) : Duration(24h);
  Status s = co_await ctx.sleep(lasts);
  listener_->tell = nullptr;
  if (!s.ok()) co_return s;
  co_return Status::unavailable("the stream of events broke");
}

}  // namespace keles::sim
