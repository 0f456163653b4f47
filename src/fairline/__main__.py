"""`python -m fairline`."""

from fairline.cli import main

main()
