#!/bin/sh
# The first process of the tests' small Linux. It plays two parts, told apart by the kernel command line:
#   inst.ks=URL     an installer in Anaconda's manner: fetch the kickstart, run %pre, write the disk, run %post, reboot
#   kickfleet.disk  the installed system: ask for an address as an operating system does, say so, idle
# Every line it says begins with "mini:", which is what the tests look for on the serial console.

say() { echo "mini: $*"; }
stop() { say "stopped: $*"; while :; do sleep 3600; done; }

start_linux() {
    /bin/busybox --install -s /bin
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs dev /dev
    while read -r module; do insmod "/modules/$module" || stop "the module $module does not load"; done </modules/order
    ip link set lo up
    ip link set eth0 up || stop "there is no network card"
}

option() { # NAME: the value of NAME=value on the kernel command line; the last one wins, as everywhere
    tr ' ' '\n' </proc/cmdline | sed -n "s|^$1=||p" | tail -n 1
}

address() { # VENDOR-CLASS: what tells an installer or a system from the firmware
    hostname mini
    say "asks for an address"
    udhcpc -i eth0 -f -q -n -t 10 -T 2 -V "$1" -s /lease.sh >/dev/null 2>&1 || stop "nobody gave an address"
    say "address $(cat /tmp/address)"
}

fetch() { # URL FILE: no `wget -T`, on which this busybox crashes
    for _ in 1 2 3 4 5; do
        wget -q -O "$2" "$1" && return 0
        sleep 1
    done
    return 1
}

run_sections() { # NAME: every %NAME … %end of the kickstart, in order, each as a script of its own
    rm -f /tmp/section.*
    awk -v name="%$1" '
        $1 == "%end" { inside = 0 }
        inside { print > file }
        $1 == name { inside = 1; count += 1; file = "/tmp/section." count; print "#" $0 > file }
    ' /tmp/ks.cfg
    for section in /tmp/section.*; do
        [ -f "$section" ] || continue
        say "runs %$1"
        sh "$section" && continue
        say "%$1 ended with an error"
        head -n 1 "$section" | grep -q -- --erroronfail && return 1
    done
    return 0
}

give_up() { run_sections onerror; stop "$*"; }

install_machine() {
    address "anaconda-Linux $(uname -r) x86_64"
    fetch "$(option inst.ks)" /tmp/ks.cfg || stop "no kickstart from $(option inst.ks)"
    say "has its kickstart"
    run_sections pre || give_up "%pre failed"
    repository=$(option inst.repo)
    fetch "${repository%/}/disk.img" /dev/vda || give_up "no disk image from $repository"
    sync
    say "has written its disk"
    run_sections post || give_up "%post failed"
    grep -q '^reboot' /tmp/ks.cfg || stop "the kickstart does not say reboot"
    say "reboots"
    reboot -f
}

export PATH=/bin
start_linux
if grep -q kickfleet.disk /proc/cmdline; then
    address ""
    say "the installed system is up"
    stop "nothing more to do"
fi
install_machine
