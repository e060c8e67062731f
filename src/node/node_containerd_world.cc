// The whole agent against a real containerd and an API server in memory. Needs root, containerd,
// runc, the CNI plugins and the images that the build packs; says so and skips without them. It
// re-executes itself in namespaces of its own with an empty /run, /var/lib and /tmp (the CNI
// library and the runtime write there, whatever they are told), so that nothing of the host is
// touched but one cgroup, named after the process, which it removes however the test ends.
#include "node/node_containerd_world.h"

namespace keles::node {
namespace {

std::string containerd_config() {
  return "version = 2\nroot = \"" + g_directory + "/containerd\"\nstate = \"/run/containerd\"\n" +
         R"(
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "keles.dev/pause:3.10"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni"
)";
}

const char* const kCni = R"({"cniVersion":"0.4.0","name":"t","plugins":[
  {"type":"bridge","bridge":"cni0","isGateway":true,"ipam":{"type":"host-local",
   "ranges":[[{"subnet":"10.88.7.0/24"}]],"dataDir":"/run/cni-state"}},
  {"type":"portmap","capabilities":{"portMappings":true}}]})";

std::string images_directory() {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  std::string dir(path, n > 0 ? static_cast<size_t>(n) : 0);
  for (int i = 0; i < 4; ++i) {
    dir = dir.substr(0, dir.rfind('/'));
    if (path_exists(dir + "/images/hello.tar")) return dir + "/images";
  }
  return "";
}

std::string missing() {
  if (geteuid() != 0) return "it needs root";
  for (const char* p : {"/usr/bin/containerd", "/usr/lib/cni/bridge", "/usr/bin/unshare"})
    if (!path_exists(p)) return std::string(p) + " is not installed";
  if (images_directory().empty()) return "the images are not built";
  return "";
}

int shell(const std::string& command) { return std::system(command.c_str()); }

}  // namespace

pid_t start_containerd() {
  std::string config = g_directory + "/config.toml";
  if (!write_file(config, containerd_config()).ok()) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    std::string log = g_directory + "/containerd.log";
    if (!std::freopen(log.c_str(), "a", stderr)) _exit(1);
    execl("/usr/bin/containerd", "containerd", "-c", config.c_str(), nullptr);
    _exit(127);
  }
  for (int i = 0; i < 200; ++i) {
    if (shell("ctr version >/dev/null 2>&1") == 0) return pid;
    usleep(50'000);
  }
  return -1;
}

namespace {

bool empty_mount(const char* path) { return mount("tmpfs", path, "tmpfs", 0, "mode=0755") == 0; }

// An own /run, /var/lib and /tmp; the images, which may lie below one of them, at /run/images.
bool make_surroundings() {
  std::string images = images_directory();
  return empty_mount("/run") && mkdir("/run/cni", 0755) == 0 && mkdir("/run/images", 0755) == 0 &&
         mount(images.c_str(), "/run/images", nullptr, MS_BIND, nullptr) == 0 &&
         empty_mount("/var/lib") && (std::getenv("KELES_KEEP") || empty_mount("/tmp")) &&
         write_file("/run/cni/10-t.conflist", kCni).ok() && shell("ip link set lo up") == 0;
}

int run_inside(int argc, char** argv) {
  if (!make_surroundings()) {
    std::perror("cannot make the surroundings");
    return 1;
  }
  char name[] = "/tmp/keles-node-XXXXXX";
  if (!mkdtemp(name)) return 1;
  g_directory = name;
  g_containerd = start_containerd();
  for (const char* image : {"pause", "hello"})
    if (g_containerd <= 0 || shell(std::string("ctr -n k8s.io image import /run/images/") + image +
                                   ".tar >/dev/null") != 0) {
      std::fprintf(stderr, "cannot start containerd:\n%s\n",
                   read_file(g_directory + "/containerd.log").value_or("").c_str());
      return 1;
    }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

pid_t g_child = 0;
void end_child(int) { kill(g_child, SIGKILL); }

// Waits for the test; what is of the host's is cleaned up outside, where a killed test cannot
// forget it.
int run_outside(std::vector<const char*> args) {
  pid_t outside = getpid();
  g_child = fork();
  if (g_child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv(kInside, std::to_string(outside).c_str(), 1);
    execvp("unshare", const_cast<char* const*>(args.data()));
    _exit(127);
  }
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, end_child);
  int status = 0;
  while (waitpid(g_child, &status, 0) < 0 && errno == EINTR) {
  }
  auto cgroups = make_cgroup_driver("/sys/fs/cgroup");
  Status removed = cgroups->remove(test_cgroup());
  for (int i = 0; i < 100 && !removed.ok(); ++i) {  // its processes may take a moment to go
    usleep(50'000);
    removed = cgroups->remove(test_cgroup());
  }
  if (!removed.ok()) std::fprintf(stderr, "%s\n", removed.to_string().c_str());
  return WIFEXITED(status) && removed.ok() ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace keles::node

int main(int argc, char** argv) {
  std::string why = keles::node::missing();
  if (!why.empty()) {
    std::printf("skipped: %s\n", why.c_str());
    return 77;
  }
  if (std::getenv(keles::node::kInside)) {
    if (const char* v = std::getenv("KELES_V")) keles::log::set_verbosity(std::atoi(v));
    return keles::node::run_inside(argc, argv);
  }
  std::vector<const char*> args = {
      "unshare", "-n",     "-m",           "-p",           "-u",
      "-i",      "--fork", "--kill-child", "--mount-proc", "/proc/self/exe"};
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) return 1;
  self[n] = 0;
  args.back() = self;
  for (int i = 1; i < argc; ++i) args.push_back(argv[i]);
  args.push_back(nullptr);
  return keles::node::run_outside(std::move(args));
}
