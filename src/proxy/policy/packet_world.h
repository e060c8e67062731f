// For tests: hosts with a network namespace each, joined by a router or by a bridge, and packets
// between them.
// Needs root. Blocking.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace keles::policy {

// Runs `body` on a thread in a network namespace of its own; false: that cannot be had.
bool in_own_network(const std::function<void()>& body);

// The calling thread's namespace becomes the router. Host N has 10.9.N.2 and fd09:N::2, and
// answers on every TCP and UDP port that is asked for, with what it is sent. With a bridge (by its
// name) they are neighbours on it, and the router is the bridge.
class PacketWorld {
 public:
  static constexpr int kRouter = -1;
  explicit PacketWorld(int hosts, const std::string& bridge = "");
  ~PacketWorld();
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  std::string address(int host) const { return "10.9." + std::to_string(host) + ".2"; }
  std::string address6(int host) const { return "fd09:" + std::to_string(host) + "::2"; }

  class Connection {
   public:
    ~Connection();
    bool echoes();  // whether what is sent comes back

   private:
    friend class PacketWorld;
    explicit Connection(int fd) : fd_(fd) {}
    int fd_;
  };
  // What is to pass is waited for; of what is not it is known after a moment without an answer.
  std::unique_ptr<Connection> open(int from, int to, int port, bool v6);
  bool connects(int from, int to, int port, bool v6);
  bool udp(int from, int to, int port, bool v6);
  // TCP to whatever address, which the router may lead to a host.
  bool reaches(int from, const std::string& address, int port);
  // UDP to an address of whatever kind ("fe80::1%eth0", a broadcast one), and from one that
  // add_address() gave the host; whether another answers.
  bool answers(int from, const std::string& address, int port, const std::string& source = "");
  void add_address(int host, const std::string& address);
  std::string link_local(int host);  // with the link to reach it by

 private:
  class Host;
  std::vector<std::string> addresses(int host);
  std::unique_ptr<Connection> open_at(int from, const std::string& address, int port, bool v6);
  int socket_at(int host, bool v6, int type);
  std::vector<std::unique_ptr<Host>> hosts_;
  std::string problem_;
};

}  // namespace keles::policy
