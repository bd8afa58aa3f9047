/** Numbers of the CSRs that user code may touch (Unprivileged 9.1 and 10, table "CSR listing"). */

export const CSR_FFLAGS = 0x001;
export const CSR_FRM = 0x002;
/** frm << 5 | fflags. */
export const CSR_FCSR = 0x003;
export const CSR_CYCLE = 0xc00;
export const CSR_TIME = 0xc01;
export const CSR_INSTRET = 0xc02;
