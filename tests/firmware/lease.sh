#!/bin/sh
# What udhcpc calls with the lease in its environment.
case "$1" in
    bound | renew)
        ip address flush dev eth0
        ip address add "$ip/$mask" dev eth0
        for gateway in $router; do ip route add default via "$gateway"; break; done
        for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
        echo "$ip" >/tmp/address
        ;;
esac
