// For tests: a real etcd on a directory of its own, if one is installed. One program's; its end is
// the end of its processes.
#pragma once

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::store_test {

// The program; "": there is none here.
inline std::string etcd_program() {
  std::vector<std::string> places;
  if (const char* tools = std::getenv("KELES_TOOLS"))
    places.push_back(std::string(tools) + "/etcd");
  places.push_back("build/tools/etcd");
  places.push_back("/usr/bin/etcd");
  for (const std::string& p : places) {
    if (path_exists(p)) return p;
  }
  return "";
}

// Ports that nobody has now, all of them different.
inline std::vector<int> free_ports(size_t n) {
  std::vector<int> out, held;
  for (size_t i = 0; i < n; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&a), size) != 0) std::abort();
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
    held.push_back(fd);
    out.push_back(ntohs(a.sin_port));
  }
  for (int fd : held) ::close(fd);
  return out;
}

// A cluster of one or several members on this machine.
class TestEtcd {
 public:
  explicit TestEtcd(size_t members = 1) {
    ports_ = free_ports(2 * members);
    for (size_t i = 0; i < members; ++i) {
      if (i > 0) peers_ += ",";
      peers_ += name(i) + "=" + peer(i);
    }
    pids_.resize(members, -1);
    for (size_t i = 0; i < members; ++i) start(i);
  }
  TestEtcd(const TestEtcd&) = delete;
  ~TestEtcd() {
    for (size_t i = 0; i < pids_.size(); ++i) stop(i);
  }
  std::vector<std::string> urls() const {
    std::vector<std::string> out;
    for (size_t i = 0; i < pids_.size(); ++i) out.push_back(client(i));
    return out;
  }
  void start(size_t i) {
    std::vector<std::string> argv{etcd_program(),
                                  "--name",
                                  name(i),
                                  "--data-dir",
                                  directory_.path() + "/" + name(i),
                                  "--listen-client-urls",
                                  client(i),
                                  "--advertise-client-urls",
                                  client(i),
                                  "--listen-peer-urls",
                                  peer(i),
                                  "--initial-advertise-peer-urls",
                                  peer(i),
                                  "--initial-cluster",
                                  peers_,
                                  "--log-level",
                                  "error"};
    std::vector<char*> words;
    for (std::string& a : argv) words.push_back(a.data());
    words.push_back(nullptr);
    const pid_t parent = ::getpid(), pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      ::execv(words[0], words.data());
      ::_exit(127);
    }
    pids_[i] = pid;
  }
  // As a power failure ends it.
  void stop(size_t i) {
    if (pids_[i] < 0) return;
    ::kill(pids_[i], SIGKILL);
    ::waitpid(pids_[i], nullptr, 0);
    pids_[i] = -1;
  }
  // It stands still, and says nothing.
  void freeze(size_t i) { ::kill(pids_[i], SIGSTOP); }
  void thaw(size_t i) { ::kill(pids_[i], SIGCONT); }

 private:
  static std::string name(size_t i) { return "m" + std::to_string(i); }
  std::string client(size_t i) const { return "http://127.0.0.1:" + std::to_string(ports_[2 * i]); }
  std::string peer(size_t i) const {
    return "http://127.0.0.1:" + std::to_string(ports_[2 * i + 1]);
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-etcd");
  std::vector<int> ports_;
  std::string peers_;
  std::vector<pid_t> pids_;
};

}  // namespace keles::store_test
